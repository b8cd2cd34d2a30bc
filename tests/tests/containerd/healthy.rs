//! A pod that nobody stops costs nothing: the kernel side writes no record about its connections.

use crate::play::PORT;
use gracetrace_tests::node::{Node, PodSpec};
use gracetrace_tests::tracer::Tracer;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const THREADS: usize = 4;
const EACH: usize = 1_300;

/// Thousands of connections, some ended with a RST, some refused, and the daemon is told to end.
pub(crate) fn under_churn(node: &Node) -> anyhow::Result<Vec<String>> {
    let pod = node.kubelet.run(&PodSpec::new("healthy", 8, &[PORT[0], PORT[1], "graceful"]))?;
    let mut tracer = Tracer::start(["-v", "-o", "jsonl", "--runtime-endpoint", &node.endpoint()])?;
    tracer.wait_for_line("tracing")?;
    let (server, closed) = (pod.server, SocketAddr::new(pod.server.ip(), 8099));
    let count = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| churn(server, closed))).collect();
        let each = threads.into_iter().map(|thread| {
            let by_one: anyhow::Result<usize> = thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            by_one
        });
        each.sum::<anyhow::Result<usize>>()
    })?;
    anyhow::ensure!(count == THREADS * EACH, "only {count} clients were served");
    let finished = tracer.end()?;
    node.kubelet.stop(&pod)?;
    node.kubelet.remove(&pod)?;
    anyhow::ensure!(finished.code == 0, "exit {}: {}", finished.code, finished.stderr);
    anyhow::ensure!(finished.stdout.is_empty(), "a report of a healthy pod: {}", finished.stdout);
    let mut facts = vec![format!("{count} connections to a healthy pod, and no report")];
    for kind in ["socket_state", "socket_reset", "socket_refused"] {
        let line = format!("records: {kind} 0 written, 0 dropped");
        anyhow::ensure!(finished.stderr.contains(&line), "not {line:?} but: {}", finished.stderr);
        facts.push(line);
    }
    Ok(facts)
}

/// So many clients, each served once; every tenth leaves with a RST, every twentieth knocks at a closed port too.
fn churn(server: SocketAddr, closed: SocketAddr) -> anyhow::Result<usize> {
    for number in 0..EACH {
        let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
        stream.write_all(b"request 0\n")?;
        stream.read_exact(&mut [0; "answer\n".len()])?;
        if number % 10 == 0 {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        if number % 20 == 0 {
            anyhow::ensure!(TcpStream::connect(closed).is_err(), "somebody listens on {closed}");
        }
    }
    Ok(EACH)
}
