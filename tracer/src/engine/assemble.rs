//! Puts a report together from what a pod's state holds. Draws no conclusions of its own: those are in
//! `verdict`, `work` and `diagnosis`.

use super::container::{Container, Sent};
use super::hook::{self, Hook};
use super::losses::{self, LossesOf};
use super::picture::{Picture, Sources, round};
use super::signals::by_process;
use super::{diagnosis, timeline, verdict};
use crate::input::{Actor, ContainerRole, Disposition, FactSource, SignalResult, TraceScope, WaitStatus};
use crate::report::{
    self, API_VERSION, Completeness, Exit, KIND, Kill, KillCause, MetadataSource, Outcome, PreStopRun, Processes,
    Report, Scope, Sender, Stop, StopDisposition, StopResult,
};
use crate::signal;

/// The report; `None` if no container of the pod was ever seen to end.
pub(super) fn report(sources: &Sources<'_>) -> Option<Report> {
    let mut picture = Picture::of(sources)?;
    picture.connections = picture.conclude();
    let mut report = picture.report();
    report.findings = diagnosis::findings(&report);
    Some(report)
}

impl Picture<'_> {
    fn report(&self) -> Report {
        let ending = self.ending();
        let apps = || ending.iter().filter(|container| self.is_app(container));
        let outcome = verdict::worst(apps().map(|container| {
            let grace = verdict::grace(self.pod, container, self.facts, self.session);
            let blind = verdict::may_have_been_stopped_before(container, grace, self.session);
            verdict::outcome(container, blind)
        }));
        // not known while one's is not
        let exits: Option<Vec<_>> = apps().map(|container| container.exit.map(|(at, _)| at)).collect();
        let last_exit = exits.and_then(|exits| exits.into_iter().max());
        let grace = apps().find_map(|container| verdict::grace(self.pod, container, self.facts, self.session));
        let stop_to_exit = self.stopped_at().zip(last_exit).map(|(stop, exit)| exit.ms_since(stop));
        let timeline = timeline::entries(self);
        let duration_ms = timeline.iter().map(|entry| entry.at_ms).fold(0.0, f64::max);
        // a kill by the kernel or by a stranger uses nothing up
        let timed = |kill: &Sent| by_process(kill.code) && (kill.is_runtimes() || self.is_tracers(kill));
        let asked = ending.iter().any(|c| c.stop.is_some() || c.kill.as_ref().is_some_and(timed));
        let used = last_exit.zip(grace).filter(|(_, grace)| asked && !self.began_unseen() && grace.ms > 0.0);
        Report {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            scope: self.scope,
            start_time: self.start_time(),
            duration_ms,
            pod: self.pod(grace),
            trigger: verdict::trigger(self.pod, &ending, self.facts, self.session, outcome),
            outcome,
            stop_to_exit_ms: stop_to_exit.map(round),
            grace_period_used_ratio: used.map(|(exit, grace)| round(exit.ms_since(self.start) / grace.ms)),
            containers: self.containers.iter().map(|container| self.container(container)).collect(),
            connections: self.connections(),
            timeline,
            findings: Vec::new(),
            completeness: self.completeness(outcome),
        }
    }

    /// Whether one was killed whose stop signal may have come before tracing began.
    fn began_unseen(&self) -> bool {
        self.ending().iter().any(|container| {
            let grace = verdict::grace(self.pod, container, self.facts, self.session);
            container.kill.is_some() && verdict::may_have_been_stopped_before(container, grace, self.session)
        })
    }

    /// Whether `gracetrace run` sent it.
    fn is_tracers(&self, sent: &Sent) -> bool {
        sent.sender.tgid == self.session.tracer_tgid
    }

    /// Init containers and helpers do not decide how a pod ended; one of unknown role does.
    fn is_app(&self, container: &Container) -> bool {
        match self.pod.role(container, self.facts) {
            Some(ContainerRole::App | ContainerRole::Sidecar) | None => true,
            Some(ContainerRole::Init | ContainerRole::Ephemeral | ContainerRole::Sandbox) => false,
        }
    }

    fn start_time(&self) -> String {
        let nanoseconds = i128::from(self.start.0) + i128::from(self.wall_offset_ns);
        jiff::Timestamp::from_nanosecond(nanoseconds).map_or_else(|_| "unknown".to_owned(), |time| format!("{time:.9}"))
    }

    fn pod(&self, grace: Option<verdict::Grace>) -> report::Pod {
        let facts = self.pod.uid.as_deref().and_then(|uid| self.facts.pod(uid));
        let command = match &self.session.scope {
            TraceScope::Command { program, .. } => Some(program.clone()),
            TraceScope::Node | TraceScope::Pod { .. } => None,
        };
        let source = facts.map(|facts| facts.source);
        let is_command = command.is_some();
        report::Pod {
            namespace: facts.and_then(|facts| facts.namespace.clone()),
            name: command.or_else(|| facts.and_then(|facts| facts.name.clone())),
            uid: self.pod.uid.clone(),
            node: self.session.node.clone(),
            labels: facts.and_then(|facts| facts.labels.clone()),
            workload: None,
            qos_class: self.pod.qos_class.map(str::to_owned),
            host_network: facts.and_then(|facts| facts.host_network),
            termination_grace_period_seconds: grace.map(|grace| grace.ms / 1000.0),
            grace_period_source: grace.map(|grace| grace.source),
            metadata_source: match source {
                _ if is_command => MetadataSource::Command,
                Some(FactSource::Kubernetes) => MetadataSource::Kubernetes,
                Some(FactSource::Cri) => MetadataSource::Cri,
                Some(FactSource::Cgroup) | None => MetadataSource::Cgroup,
            },
        }
    }

    fn container(&self, container: &Container) -> report::Container {
        let facts = container.id.as_deref().and_then(|id| self.facts.container(id));
        let runtime = facts.and_then(|facts| facts.runtime.clone()).or_else(|| container.runtime.map(str::to_owned));
        let grace = verdict::grace(self.pod, container, self.facts, self.session);
        let began = verdict::began(self.pod, container, self.facts).unwrap_or(self.start);
        let kill = container.kill.as_ref();
        let cause = kill.map(|kill| verdict::kill_cause(container, kill, grace, began, self.session));
        let exit = container.exit;
        let since = |sent: Option<&Sent>| sent.zip(exit).map(|(sent, (at, _))| round(at.ms_since(sent.at)));
        report::Container {
            name: self.name(container),
            id: container.id.as_ref().map(|id| format!("{}://{id}", runtime.as_deref().unwrap_or("unknown"))),
            image: facts.and_then(|facts| facts.image.clone()),
            role: self.pod.role(container, self.facts),
            init_pid: container.init.as_ref().map(|init| init.tgid),
            init_comm: container.init.as_ref().map(|init| init.comm.to_string()),
            init_exe: container.init.as_ref().and_then(|init| init.exe.as_ref()).map(ToString::to_string),
            restarts: facts.and_then(|facts| facts.restarts),
            pre_stop: self.pre_stop(container),
            stop: container.stop.as_ref().map(|stop| self.stop(container, stop)),
            listeners_closed_ms: self.listener_closed(container).map(|at| self.ms(at)),
            kill: kill.zip(cause).map(|(kill, cause)| Kill {
                at_ms: self.ms(kill.at),
                cause,
                sender: sender_of(kill, cause),
            }),
            exit: exit.map(|(at, status)| Exit {
                at_ms: self.ms(at),
                code: status.code(),
                signal: status.signal().map(signal::name),
                core_dumped: status.core_dumped(),
            }),
            stop_to_exit_ms: since(container.stop.as_ref()),
            kill_to_exit_ms: since(kill),
            processes: Processes {
                seen: container.seen,
                signalled: count(container.signalled.len()),
                killed_by_pid_namespace: count(container.killed_by_pid_namespace.len()),
                execs_killed: count(container.execs_killed()),
                unsignalled: count(container.unsignalled().len()),
                unsignalled_comms: container.unsignalled().iter().map(|process| process.comm.to_string()).collect(),
            },
            connections: self.counts(Some(container.cgroup)),
        }
    }

    fn stop(&self, container: &Container, stop: &Sent) -> Stop {
        Stop {
            signal: signal::name(stop.signal),
            at_ms: self.ms(stop.at),
            result: match stop.result {
                SignalResult::Delivered => StopResult::Delivered,
                SignalResult::Ignored => StopResult::Ignored,
                SignalResult::AlreadyPending => StopResult::AlreadyPending,
                SignalResult::Lost => StopResult::Lost,
                SignalResult::Unknown => StopResult::Unknown,
            },
            disposition: match stop.disposition {
                Disposition::Handler => StopDisposition::Handler,
                Disposition::Default => StopDisposition::Default,
                Disposition::Ignore => StopDisposition::Ignore,
                Disposition::Blocked => StopDisposition::Blocked,
                Disposition::Unknown => StopDisposition::Unknown,
            },
            sender: sender(&stop.sender),
            delivered_ms: container.delivered.map(|at| self.ms(at)),
            discarded_ms: container.discarded_again().map(|at| self.ms(at)),
        }
    }

    fn pre_stop(&self, container: &Container) -> Option<PreStopRun> {
        let Hook { kind, known_by, start, end, status, process: _ } =
            hook::of(container, self.facts, self.pod.kubelet_call.as_ref())?;
        Some(PreStopRun {
            kind,
            known_by,
            start_ms: start.map(|at| self.ms(at)),
            end_ms: end.map(|at| self.ms(at)),
            exit_code: status.and_then(WaitStatus::code),
            signal: status.and_then(WaitStatus::signal).map(signal::name),
        })
    }

    fn completeness(&self, outcome: Outcome) -> Completeness {
        let LossesOf { anybodys, own, passed_over } = self.losses;
        let events_lost = losses::sum(anybodys) + losses::sum(own);
        let unknown_init = self.containers.iter().any(|container| container.init.is_none());
        let running = self.containers.iter().any(|container| container.exit.is_none());
        // an end that is unknown although it was seen came from something before tracing began
        let unexplained = outcome == Outcome::Unknown && !running;
        let start_seen = !unknown_init && !unexplained && !self.began_unseen() && self.start >= self.session.started_at;
        let mut reasons: Vec<String> = Vec::new();
        if running {
            reasons.push("tracing ended before the last container did, or its end was not seen".to_owned());
        } else if let Some(cut) = self.pod.cut {
            let last = self.containers.iter().filter_map(|container| container.exit).map(|(at, _)| at).max();
            if last.is_some_and(|last| self.pod.settled_at(last) > cut.at) {
                reasons
                    .push("tracing ended as soon as the last container had: what came after is not known".to_owned());
            }
            if self.scope == Scope::Pod && !cut.is_whole {
                let reason = "its containers had ended when tracing did, and the pod had not: it may have gone on";
                reasons.push(reason.to_owned());
            }
        }
        if self.pod.connections.uncounted > 0 {
            reasons.push(format!(
                "{} connections beyond the memory bound are not told apart",
                self.pod.connections.uncounted
            ));
        }
        if losses::sum(own) > 0 {
            reasons.push(format!(
                "{} records of this pod were left out: the ring buffer was more than half full, and this pod had filled its share of it (of {}). More of it is let through with a larger --ring-buffer-size",
                losses::sum(own),
                losses::kinds(own)
            ));
        }
        if losses::sum(passed_over) > 0 {
            reasons.push(format!(
                "not seen: {} events on this node, perhaps this pod's (the kernel passed over interrupted programs: {})",
                losses::sum(passed_over),
                losses::kinds(passed_over)
            ));
        }
        let complete = reasons.is_empty() && events_lost == 0 && start_seen;
        reasons.extend(self.snapshot_problem());
        reasons.extend(self.session.limits.iter().cloned());
        Completeness { complete, events_lost, start_seen, reasons }
    }

    /// Why the pod's sockets at its stop signal are not, or not all, known.
    fn snapshot_problem(&self) -> Option<String> {
        self.stopped_at()?;
        let without = "not known: connections that outlived the pod, and who opened those that have no listener";
        match &self.pod.connections.snapshot {
            Some(taken) if taken.more => Some(format!("{without} (not every socket was read before the report)")),
            Some(taken) => taken.problem.as_ref().map(|problem| format!("{without} ({problem})")),
            None => Some(format!("{without} (the pod's sockets were not looked at in time)")),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn sender_of(kill: &Sent, cause: KillCause) -> Option<Sender> {
    match cause {
        KillCause::Oom | KillCause::PidNamespaceTeardown => None,
        KillCause::Unknown if !by_process(kill.code) => None,
        KillCause::GracePeriodExpired
        | KillCause::NoGracePeriod
        | KillCause::Cleanup
        | KillCause::CgroupKill
        | KillCause::External
        | KillCause::Unknown => Some(sender(&kill.sender)),
    }
}

fn sender(actor: &Actor) -> Sender {
    Sender { pid: actor.tgid, comm: actor.comm.to_string(), parent_comm: actor.parent_comm.to_string() }
}
