//! The bars: what each asks for, and whether what was measured holds it. (They are those of docs/performance.md.)

use super::crowd::{AFTER_ALL, AFTER_FURTHER, AT_ONCE, BY_THEN, CONNECTIONS, MANY};
use super::extras::STORM;
use super::rounds::number;
use super::stats::{Store, median, percentile, range_of_median};

/// What may be called flat: a twentieth is pages that the allocator has not given back yet.
const FLAT: f64 = 1.05;

/// What came of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) asks: &'static str,
    /// Every figure that counts for it, and the most (or least) that it may be.
    parts: Vec<Part>,
    /// What of it this run does not measure.
    pub(super) unmeasured: &'static str,
    /// What is good to know beside it, and counts for nothing.
    beside: Vec<(&'static str, f64)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    what: String,
    value: Option<f64>,
    limit: Limit,
    /// Where the value is, as far as the rounds tell, if it is the median of several.
    range: Option<[f64; 2]>,
    /// What the same would be of programs that do nothing, and where that is.
    floor: Option<(f64, Option<[f64; 2]>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Most(f64),
    Least(f64),
    Exactly(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Missed,
    NotMeasured,
}

impl Bar {
    pub(super) fn verdict(&self) -> Verdict {
        let holds = |part: &Part| part.value.map(|value| part.limit.holds(value));
        if self.parts.iter().any(|part| holds(part) == Some(false)) {
            Verdict::Missed
        } else if self.parts.is_empty()
            || !self.unmeasured.is_empty()
            || self.parts.iter().any(|part| holds(part).is_none())
        {
            Verdict::NotMeasured
        } else {
            Verdict::Held
        }
    }

    /// Whether it is missed, and each figure that is beyond its limit has a floor that is so by itself.
    pub(super) fn is_out_of_reach(&self) -> bool {
        let mut missed = self.parts.iter().filter(|part| part.is_missed()).peekable();
        missed.peek().is_some() && missed.all(Part::is_out_of_reach)
    }

    /// Each figure with its limit; the ones beyond it are marked, and those that these rounds cannot tell from it.
    pub(super) fn evidence(&self) -> String {
        let told = self.parts.iter().map(Part::told);
        let beside = self.beside.iter().map(|(what, value)| format!("({what} {value:.3})"));
        let missing = Some(format!("not measured here: {}", self.unmeasured)).filter(|_| !self.unmeasured.is_empty());
        told.chain(beside).chain(missing).collect::<Vec<_>>().join("; ")
    }

    fn most(self, what: &str, value: Option<f64>, most: f64) -> Self {
        self.with(what, value, Limit::Most(most), None)
    }

    fn least(self, what: &str, value: Option<f64>, least: f64) -> Self {
        self.with(what, value, Limit::Least(least), None)
    }

    /// The median of the rounds' ratios.
    fn most_of(self, what: &str, ratios: Vec<f64>, most: f64) -> Self {
        self.with(what, median(ratios.clone()), Limit::Most(most), range_of_median(ratios))
    }

    fn least_of(self, what: &str, ratios: Vec<f64>, least: f64) -> Self {
        self.with(what, median(ratios.clone()), Limit::Least(least), range_of_median(ratios))
    }

    fn with(mut self, what: &str, value: Option<f64>, limit: Limit, range: Option<[f64; 2]>) -> Self {
        self.parts.push(Part { what: what.to_owned(), value, limit, range, floor: None });
        self
    }

    /// What the figure just before would be of programs that do nothing, on the same hooks and as many.
    fn over_floor(self, ratios: Vec<f64>) -> Self {
        let range = range_of_median(ratios.clone());
        self.over(median(ratios), range)
    }

    fn over(mut self, floor: Option<f64>, range: Option<[f64; 2]>) -> Self {
        if let Some(part) = self.parts.last_mut() {
            part.floor = floor.map(|floor| (floor, range));
        }
        self
    }

    /// A count, of every time that it was taken: one that is wrong is not to be hidden by others that are right.
    fn always(self, what: &str, values: &[f64], number: f64) -> Self {
        let limit = Limit::Exactly(number);
        let wrong = values.iter().find(|value| !limit.holds(**value));
        self.with(what, wrong.or(values.first()).copied(), limit, None)
    }

    fn beside(mut self, what: &'static str, value: Option<f64>) -> Self {
        self.beside.extend(value.map(|value| (what, value)));
        self
    }

    fn without(mut self, what: &'static str) -> Self {
        self.unmeasured = what;
        self
    }
}

impl Part {
    fn is_missed(&self) -> bool {
        self.value.is_some_and(|value| !self.limit.holds(value))
    }

    /// Programs that do nothing miss it as well, wherever in its range their median is.
    fn is_out_of_reach(&self) -> bool {
        let Some((floor, range)) = self.floor else { return false };
        range.unwrap_or([floor; 2]).iter().all(|end| !self.limit.holds(*end))
    }

    fn told(&self) -> String {
        let Self { what, value, limit, range, floor } = self;
        let Some(value) = value else { return format!("{what} not measured") };
        let limited = match limit {
            Limit::Most(most) => format!("{value:.3} (≤ {most}"),
            Limit::Least(least) => format!("{value:.3} (≥ {least}"),
            Limit::Exactly(number) => format!("{value} (= {number}"),
        };
        // a median of few rounds on a machine that is not quiet may lie on either side by chance
        let chance = range.filter(|range| range.iter().any(|end| limit.holds(*end) != limit.holds(*value)));
        let chance = chance.map(|[low, high]| format!("; {low:.2}–{high:.2}, so not told from it"));
        let floor = floor.map(|(floor, range)| {
            let range = range.map(|[low, high]| format!(", {low:.2}–{high:.2}")).unwrap_or_default();
            let beyond = if self.is_out_of_reach() { ": beyond it by itself" } else { "" };
            format!("; floor {floor:.3}{range}{beyond}")
        });
        let mark = if self.is_missed() { " ✗" } else { "" };
        format!("{what} {limited}{}{}){mark}", chance.unwrap_or_default(), floor.unwrap_or_default())
    }
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::Most(most) => value <= most,
            Self::Least(least) => value >= least,
            // counts, and those are exact
            Self::Exactly(number) => (value - number).abs() < 0.5,
        }
    }
}

fn bar(name: &'static str, asks: &'static str) -> Bar {
    Bar { name, asks, parts: Vec::new(), unmeasured: "", beside: Vec::new() }
}

/// All of them.
pub(super) fn judge(store: &Store) -> Vec<Bar> {
    let run = |who: &str, to: &str, hook: &str| store.ratios(who, to, &format!("run:{hook}"));
    // a real server counts where it was asked
    let server = if store.values("bare", "nginx").is_empty() { "http" } else { "nginx" };
    // throughput is the other way round than nanoseconds
    let throughput = |who: &str, to: &str| store.ratios(to, who, server);
    let own = |what: &str| store.median("gracetrace", what);
    let worst = |what: &str, hundredths| percentile(store.values("gracetrace", what).to_vec(), hundredths);
    let every = |what: &str| store.values("gracetrace", what);
    // of several storms the worst one counts
    let sums = every("storm written").iter().zip(every("storm dropped")).map(|(written, dropped)| written + dropped);
    let least_sum = sums.min_by(f64::total_cmp).map(|sum| sum / number(STORM));
    vec![
        bar("P1", "kernel ns per record against the peer's on the same hook")
            .most_of("exit", run("terminating", "peers", "sched_process_exit"), 0.20)
            .most_of("TCP state", run("terminating", "peers", "inet_sock_set_state"), 0.20)
            .most_of("signal", run("terminating", "peers", "signal_generate"), 0.80),
        bar("P2", "untracked: against bpftrace count() on the same hooks, the whole loop")
            .most_of("kill", store.ratios("untracked", "bt-count", "kill"), 1.0)
            .over_floor(store.ratios("floor", "bt-count", "kill"))
            .most_of("connect", store.ratios("untracked", "bt-count", "connect"), 1.0)
            .over_floor(store.ratios("floor", "bt-count", "connect")),
        bar("P3", "kill loop, tracked, against the three peers together")
            .most_of("healthy", store.ratios("healthy", "peers", "kill"), 0.60)
            .most_of("terminating", store.ratios("terminating", "peers", "kill"), 0.60),
        bar("P4", "connect/close loop over bare")
            .most_of("healthy", store.ratios("healthy", "bare", "connect"), 1.03)
            .over_floor(store.ratios("floor", "bare", "connect"))
            .most_of("terminating", store.ratios("terminating", "bare", "connect"), 1.15)
            .over_floor(store.ratios("floor", "bare", "connect")),
        bar(
            "P5",
            if server == "nginx" { "HTTP churn throughput, nginx" } else { "HTTP churn throughput, a small server" },
        )
        .least_of("healthy of bare", throughput("healthy", "bare"), 0.97)
        .over_floor(throughput("floor", "bare"))
        .least_of("terminating of bare", throughput("terminating", "bare"), 0.85)
        .over_floor(throughput("floor", "bare"))
        .least_of("terminating of peers", throughput("terminating", "peers"), 1.3),
        bar("P6", "fork+exit and exec over bare")
            .most_of("fork, untracked", store.ratios("untracked", "bare", "fork"), 1.05)
            .most_of("exec, untracked", store.ratios("untracked", "bare", "exec"), 1.05)
            .most_of("fork, healthy", store.ratios("healthy", "bare", "fork"), 1.05)
            .most_of("exec, healthy", store.ratios("healthy", "bare", "exec"), 1.05),
        bar("P7", "3 M signals from all CPUs while their pod is being stopped: none lost, all accounted for")
            .always("dropped", every("storm dropped"), 0.0)
            .least("written and dropped, of sent", least_sum, 1.0)
            .always("report complete", every("storm report complete"), 1.0),
        bar("P8", "agent's CPU per record, JSON into a file, against sigsnoop's").most_of(
            "ratio",
            store.ratios("gracetrace", "sigsnoop", "agent ns/record"),
            0.5,
        ),
        memory(store),
        bar("P10", "start, idling, and the way from the last exit to the report")
            .most("start ms", own("start ms"), 150.0)
            .most("idle CPU %", own("idle cpu %"), 0.05)
            .most("exit to report p99 ms", worst("report ms", 99), 100.0),
        bar("P11", "the engine alone")
            .least("M inputs/s, 10 pods", own("engine M inputs/s, 10 pods"), 1.0)
            .least("1,000 pods", own("engine M inputs/s, 1000 pods"), 1.0)
            .most("cost per input, 1,000 pods over 10", own("engine cost 1000/10"), 1.25)
            .over(own("floor cost 1000/10"), None)
            .beside("page faults, 1,000 pods", own("engine page faults, 1000 pods"))
            .beside("M inputs/s, 1,000 pods, with no memory yet", own("fresh M inputs/s, 1000 pods")),
        bar("P12", "500 pods killed at once with 40 connections each: every report complete, every connection counted")
            .always("reports", every("crowd reports"), AT_ONCE.into())
            .always("of pods", every("crowd pods"), AT_ONCE.into())
            .always("complete", every("crowd complete"), AT_ONCE.into())
            .always("with exactly their connections", every("crowd exact"), AT_ONCE.into())
            .always("connections cut", every("crowd cut"), (AT_ONCE * CONNECTIONS).into())
            .always("as clients saw", every("crowd cut as clients saw"), (AT_ONCE * CONNECTIONS).into())
            .always("events lost, as reports say", every("crowd lost"), 0.0)
            .always("records dropped", every("crowd records dropped"), 0.0)
            // whom the daemon followed as well: with any, the run is to be made again
            .beside("reports of others' pods", worst("crowd others", 100).filter(|others| *others > 0.0)),
    ]
}

/// P9, of which a quick run has a part.
fn memory(store: &Store) -> Bar {
    let mib = |what: &str| store.median("gracetrace", what).map(|kib| kib / 1024.0);
    let bar = bar("P9", "resident memory").most("idle MiB", mib("idle rss KiB"), 16.0).most(
        "after 3 M records MiB",
        mib("storm rss KiB"),
        48.0,
    );
    let Some(before) = mib(AFTER_ALL) else {
        return bar.without("5,000 pods and 1 M records, and five storms more: --full does");
    };
    let after = percentile(store.values("gracetrace", AFTER_FURTHER).to_vec(), 100).map(|kib| kib / 1024.0);
    bar.most("after 5,000 pods and 1 M records MiB", Some(before), 48.0)
        .most("most after five further storms, over that", after.map(|after| after / before), FLAT)
        .always("pods reported", store.values("gracetrace", "row reports"), MANY.into())
        .least("M records written by then", store.median("gracetrace", BY_THEN).map(|all| all / 1e6), 1.0)
}

#[cfg(test)]
mod tests {
    use super::{Store, Verdict, judge};

    fn verdict(store: &Store, name: &str) -> Option<Verdict> {
        judge(store).iter().find(|bar| bar.name == name).map(super::Bar::verdict)
    }

    #[test]
    fn a_bar_holds_if_each_of_its_figures_does() {
        let mut store = Store::default();
        assert_eq!(verdict(&store, "P4"), Some(Verdict::NotMeasured));
        store.add("bare", "connect", 100.0);
        store.add("healthy", "connect", 102.0);
        assert_eq!(verdict(&store, "P4"), Some(Verdict::NotMeasured));
        store.add("terminating", "connect", 110.0);
        assert_eq!(verdict(&store, "P4"), Some(Verdict::Held));
        store.add("bare", "connect", 100.0);
        store.add("healthy", "connect", 110.0);
        assert_eq!(verdict(&store, "P4"), Some(Verdict::Missed));
    }

    #[test]
    fn throughput_is_the_inverse_of_time() {
        let mut store = Store::default();
        for (who, ns) in [("bare", 100.0), ("healthy", 100.0), ("terminating", 110.0), ("peers", 150.0)] {
            store.add(who, "http", ns);
        }
        assert_eq!(verdict(&store, "P5"), Some(Verdict::Held));
    }

    #[test]
    fn says_what_its_rounds_cannot_tell() {
        let mut store = Store::default();
        for (healthy, terminating) in [(100.0, 120.0), (104.0, 121.0), (105.0, 122.0), (106.0, 123.0), (108.0, 124.0)] {
            store.add("bare", "connect", 100.0);
            store.add("healthy", "connect", healthy);
            store.add("terminating", "connect", terminating);
        }
        let bars = judge(&store);
        let evidence = bars.iter().find(|bar| bar.name == "P4").map(super::Bar::evidence);
        let expected = "healthy 1.050 (≤ 1.03; 1.00–1.08, so not told from it) ✗; terminating 1.220 (≤ 1.15) ✗";
        assert_eq!(evidence.as_deref(), Some(expected));
    }

    #[test]
    fn says_what_no_tracer_can_hold_here() {
        let judged = |floor: [f64; 5], terminating: f64| {
            let mut store = Store::default();
            for floor in floor {
                store.add("bare", "connect", 100.0);
                store.add("floor", "connect", floor);
                store.add("healthy", "connect", 108.0);
                store.add("terminating", "connect", terminating);
            }
            judge(&store).into_iter().find(|bar| bar.name == "P4").map(|bar| (bar.is_out_of_reach(), bar.evidence()))
        };
        let healthy = "healthy 1.080 (≤ 1.03; floor 1.050, 1.04–1.06: beyond it by itself) ✗";
        let beyond = [104.0, 105.0, 105.0, 105.0, 106.0];
        let held = "terminating 1.120 (≤ 1.15; floor 1.050, 1.04–1.06)";
        assert_eq!(judged(beyond, 112.0), Some((true, format!("{healthy}; {held}"))));
        // one figure that could be better is enough
        let missed = "terminating 1.200 (≤ 1.15; floor 1.050, 1.04–1.06) ✗";
        assert_eq!(judged(beyond, 120.0), Some((false, format!("{healthy}; {missed}"))));
        // a floor that the rounds do not tell from the bar proves nothing
        assert_eq!(judged([102.0, 105.0, 105.0, 105.0, 106.0], 112.0).map(|(out, _)| out), Some(false));
        // nor does one within it
        assert_eq!(judged([100.0; 5], 112.0).map(|(out, _)| out), Some(false));
    }
}
