//! Whose connection it is: two containers of a pod, two pods of a node, a pod on the node's own network.

use crate::play::{Ended, PORT, Traced};
use gracetrace_tests::client::{Knocks, PeerServer, Use};
use gracetrace_tests::clock::slow;
use gracetrace_tests::counts::Counts;
use gracetrace_tests::node::{ContainerSpec, Node, PodSpec, RunningPod};
use gracetrace_tests::storm::Storm;
use socket2::{Domain, Socket, Type};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Both connections of a proxy to its app, over loopback, with this request on each.
fn to_the_app<'a>(request: &'a str, behaviour: &[&'a str]) -> ContainerSpec {
    let connect = ["--connect", "127.0.0.1:8080", request];
    ContainerSpec::new("proxy", &[&connect, &connect, behaviour].concat())
}

/// The proxy leaves at once, while the app still works on what came through it.
pub(crate) fn proxy_leaves_first(node: &Node) -> anyhow::Result<Vec<String>> {
    // the app is still at the proxy's request when both are stopped
    let (grace_s, request, drain) =
        if slow() > 1.0 { (20, "request 9000", "9500") } else { (8, "request 2000", "2500") };
    let spec = PodSpec::new("proxy-leaves-first", grace_s, &[PORT[0], PORT[1], "slow-drain", drain]);
    let mut traced = Traced::pod(node, &spec.and(to_the_app(request, &["keep-idle"])))?;
    traced.open([Use::Asks(1000)])?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.connections(&Counts { internal: 2, open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    ended.needs_cgroups_of_sockets()?;
    inside(&mut ended)?;
    ended.facts.findings(&["sidecar-exited-first"]);
    let finding = ended.facts.at("/findings/0").clone();
    let summary = finding["summary"].as_str().unwrap_or_default();
    let names = finding["container"] == "proxy" && summary.contains("app") && summary.contains("2 open connections");
    ended.facts.holds(names, "the finding names proxy, app and 2 connections", &format!("{finding}"));
    ended.verdict()
}

/// The app leaves first, and the proxy after it: the right order.
pub(crate) fn proxy_leaves_last(node: &Node) -> anyhow::Result<Vec<String>> {
    let spec = PodSpec::new("proxy-leaves-last", 8, &[PORT[0], PORT[1], "graceful"]);
    let mut traced = Traced::pod(node, &spec.and(to_the_app("request 25", &["slow-drain", "1000"])))?;
    traced.open([Use::Served])?;
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "Graceful");
    ended.connections(&Counts { internal: 2, open_at_stop: 1, closed_gracefully: 1, ..Counts::default() });
    inside(&mut ended)?;
    ended.facts.findings(&[]);
    ended.verdict()
}

/// Each pair inside the pod is listed with both its ends, each in its container, and counted for nobody else.
fn inside(ended: &mut Ended) -> anyhow::Result<()> {
    let details = ended.facts.at("/connections/details").as_array().cloned().unwrap_or_default();
    let listed = |local: &str, peer: &str, container: &str, direction: &str| {
        let is = |one: &&serde_json::Value| {
            one["local"] == local
                && one["peer"] == peer
                && one["container"] == container
                && one["direction"] == direction
                && one["internal"] == true
        };
        details.iter().filter(is).count() == 1
    };
    let pairs = connected(&ended.pod, "proxy");
    anyhow::ensure!(pairs.len() == 2, "the proxy has {} connections", pairs.len());
    for (local, peer) in pairs {
        let both = listed(&local, &peer, "proxy", "Outbound") && listed(&peer, &local, "app", "Inbound");
        ended.facts.holds(both, &format!("{local} to {peer}: both ends listed as internal"), &format!("{details:#?}"));
    }
    let internal = details.iter().filter(|one| one["internal"] == true).count();
    ended.facts.holds(internal == 4, "four internal ends", &format!("{internal}"));
    for container in ["app", "proxy"] {
        let at = ended.facts.container(container);
        ended.facts.is(&format!("{at}/connections/internal"), 2);
        ended.facts.is(&format!("{at}/connections/outbound"), 0);
    }
    Ok(())
}

/// Both ends of what a container has opened, its own first, as it wrote them down.
fn connected(pod: &RunningPod, container: &str) -> Vec<(String, String)> {
    let all = pod.stamps(container).all().into_iter().filter(|stamp| stamp.name == "connected");
    all.filter_map(|stamp| stamp.detail.split_once(' ').map(|(local, peer)| (local.to_owned(), peer.to_owned())))
        .collect()
}

/// A pod that is a client of another one, and a server on the same port as well.
fn client_of(name: &str, server: SocketAddr, behaviour: &str) -> PodSpec {
    let server = server.to_string();
    PodSpec::new(name, 3, &[PORT[0], PORT[1], "--connect", &server, "request 25", "--connect", &server, "", behaviour])
}

/// The server is stopped: what another pod has opened comes in, from that pod's address.
pub(crate) fn server_of_a_pod(node: &Node) -> anyhow::Result<Vec<String>> {
    let traced = Traced::pod(node, &PodSpec::new("server-of-a-pod", 8, &[PORT[0], PORT[1], "graceful"]))?;
    let client = node.kubelet.run(&client_of("client-beside", traced.pod.server, "graceful"))?;
    std::thread::sleep(Duration::from_millis(200));
    let mut ended = traced.stop()?;
    let pairs = connected(&client, "app");
    node.kubelet.stop(&client)?;
    node.kubelet.remove(&client)?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.counts(&Counts { open_at_stop: 2, closed_gracefully: 2, ..Counts::default() }, true);
    for (local, peer) in &pairs {
        ended.facts.holds(local.starts_with(&client.ips[0].to_string()), "it comes from the client's address", local);
        let theirs = Some(local.parse()?);
        ended.facts.detail_is(theirs, "direction", "Inbound");
        ended.facts.detail_is(theirs, "local", peer.as_str());
        ended.facts.detail_is(theirs, "internal", false);
    }
    ended.facts.holds(ended.facts.details().len() == pairs.len(), "and nothing else", "there is more");
    ended.facts.findings(&[]);
    ended.verdict()
}

/// The client is stopped: the same connections go out.
pub(crate) fn client_of_a_pod(node: &Node) -> anyhow::Result<Vec<String>> {
    let server = node.kubelet.run(&PodSpec::new("server-beside", 8, &[PORT[0], PORT[1], "graceful"]))?;
    let traced = Traced::pod(node, &client_of("client-of-a-pod", server.server, "graceful"))?;
    std::thread::sleep(Duration::from_millis(200));
    let mut ended = traced.stop()?;
    node.kubelet.stop(&server)?;
    node.kubelet.remove(&server)?;
    ended.facts.is("/outcome", "Graceful");
    ended.facts.counts(&Counts { open_at_stop: 2, closed_gracefully: 2, outbound: 2, ..Counts::default() }, true);
    let details = ended.facts.details();
    for (local, peer) in connected(&ended.pod, "app") {
        let own = details.iter().filter(|one| one["local"] == *local && one["peer"] == *peer);
        let outbound = own.filter(|one| one["direction"] == "Outbound" && one["internal"] == false).count();
        ended.facts.holds(outbound == 1, &format!("{local} to {peer} is Outbound"), &format!("{details:#?}"));
    }
    ended.facts.holds(details.len() == 2, "and nothing else", &format!("{}", details.len()));
    ended.facts.findings(&[]);
    ended.verdict()
}

/// The server has closed all of it before its client is stopped and killed: nothing is cut any more.
pub(crate) fn client_of_a_gone_pod(node: &Node) -> anyhow::Result<Vec<String>> {
    let server = node.kubelet.run(&PodSpec::new("server-gone", 8, &[PORT[0], PORT[1], "graceful"]))?;
    let traced = Traced::pod(node, &client_of("client-of-a-gone-pod", server.server, "overrun"))?;
    std::thread::sleep(Duration::from_millis(200));
    node.kubelet.stop(&server)?;
    node.kubelet.remove(&server)?;
    std::thread::sleep(Duration::from_millis(200));
    let mut ended = traced.stop()?;
    ended.facts.is("/outcome", "ForceKilled");
    // the peer had closed first and was owed nothing: a server that has answered and closed
    ended.facts.counts(&Counts { open_at_stop: 2, closed_gracefully: 2, outbound: 2, ..Counts::default() }, true);
    ended.facts.findings(&["grace-period-exceeded"]);
    ended.verdict()
}

/// On the node's network, with its cgroup alone to tell what is the pod's: a server with clients, another pod
/// on the same network, attempts at a closed port and a storm of connections go on beside it.
pub(crate) fn host_network(node: &Node) -> anyhow::Result<Vec<String>> {
    let on_the_node = |name: &str, args: &[&str]| {
        let mut spec = PodSpec::new(name, 8, &[&["--listen", "127.0.0.1:0"], args].concat());
        spec.host_network = true;
        spec
    };
    let beside = node.kubelet.run(&on_the_node("host-network-beside", &["graceful"]))?;
    let mut traced = Traced::pod(node, &on_the_node("host-network", &["slow-drain", "3000"]))?;
    let neighbour = PeerServer::start(Ipv4Addr::LOCALHOST.into())?;
    let mut held = Vec::new();
    for server in [neighbour.addr, neighbour.addr, beside.server, beside.server] {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(b"request 25\n")?;
        held.push(stream);
    }
    traced.open([Use::Served, Use::Asks(600)])?;
    let mut ended = traced.stop_while(|pod| {
        let storm = Storm::start(Duration::from_millis(800));
        let (_bound, closed) = nobody_listens()?;
        let elsewhere = Knocks::begin(closed, 10, Duration::from_millis(50));
        let late = Knocks::begin(pod.server, 10, Duration::from_millis(50)).seen()?;
        elsewhere.seen()?;
        let [_, _, connections] = storm.end();
        anyhow::ensure!(connections > 100, "only {connections} connections beside the pod");
        Ok(late)
    })?;
    drop(held);
    neighbour.met()?;
    node.kubelet.stop(&beside)?;
    node.kubelet.remove(&beside)?;
    ended.needs_cgroups_of_sockets()?;
    ended.facts.is("/outcome", "Graceful");
    ended.connections(&Counts { open_at_stop: 2, closed_gracefully: 2, refused: 10, ..Counts::default() });
    // the app may have closed some of it before the look
    ended.facts.between("/connections/snapshot/listeners", 0.0, 1.0);
    ended.facts.between("/connections/snapshot/connections", 0.0, 2.0);
    ended.facts.findings(&["connections-refused", "listener-closed-early"]);
    ended.verdict()
}

/// A port that stays nobody's. A listener that is closed again would not do: what is forked meanwhile holds it open until its exec.
fn nobody_listens() -> anyhow::Result<(Socket, SocketAddr)> {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let address =
        bound.local_addr()?.as_socket().ok_or_else(|| anyhow::anyhow!("an IPv4 socket has an IPv4 address"))?;
    Ok((bound, address))
}
