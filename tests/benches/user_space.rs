//! What one record costs in user space, step by step: decoding, the engine, the log, a report as text and as JSON.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gracetrace::engine::Engine;
use gracetrace::log::Writer;
use gracetrace::report::Report;
use gracetrace::sink::{Sink, json, jsonl, text};
use gracetrace::source::probe::decode;
use gracetrace_tests::ending;
use std::hint::black_box;
use std::mem::offset_of;
use tracer_ebpf::{Header, ProcessForked, SignalGenerated, SocketState, kind};

const PODS: u32 = 10;
const CLOSES: u32 = 100;
const RECORDS: u16 = 1_000;
const COMM: &[u8] = b"server";
const PARENT_COMM: &[u8] = b"containerd-shim";
/// As `socket(2)` and `net/tcp_states.h` number them.
const AF_INET: u16 = 2;
const ESTABLISHED: u16 = 1;
const FIN_WAIT1: u16 = 4;

fn decoding(c: &mut Criterion) {
    let signal = record::<SignalGenerated>(
        kind::SIGNAL_GENERATED,
        &[
            (offset_of!(SignalGenerated, target.comm), COMM),
            (offset_of!(SignalGenerated, sender.comm), COMM),
            (offset_of!(SignalGenerated, sender.parent_comm), PARENT_COMM),
        ],
    );
    let fork = record::<ProcessForked>(kind::PROCESS_FORKED, &[(offset_of!(ProcessForked, child.comm), COMM)]);
    let socket = record::<SocketState>(
        kind::SOCKET_STATE,
        &[
            (offset_of!(SocketState, socket.family), &AF_INET.to_ne_bytes()),
            (offset_of!(SocketState, current.comm), COMM),
            (offset_of!(SocketState, socket.old_state), &ESTABLISHED.to_ne_bytes()),
            (offset_of!(SocketState, socket.new_state), &FIN_WAIT1.to_ne_bytes()),
        ],
    );
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS.into()));
    for (name, record) in [("signal_generate", signal), ("process_fork", fork), ("socket_state", socket)] {
        let bytes = record.repeat(usize::from(RECORDS));
        let decoded = decode::records(&bytes).flatten().count();
        assert_eq!(decoded, usize::from(RECORDS), "{name}: what is no record costs nothing");
        group.bench_function(name, |b| {
            b.iter(|| decode::records(black_box(&bytes)).map(black_box).count());
        });
    }
    group.finish();
}

/// A record as the kernel writes it: all zero but for its head and these fields.
fn record<R>(kind: u16, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let size = u16::try_from(size_of::<R>()).expect("a size that fits");
    let mut record = vec![0; size_of::<R>()];
    let head: [(usize, &[u8]); 2] =
        [(offset_of!(Header, kind), &kind.to_ne_bytes()), (offset_of!(Header, size), &size.to_ne_bytes())];
    for (at, bytes) in head.iter().chain(fields) {
        record[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    record
}

fn engine(c: &mut Criterion) {
    let inputs: Vec<_> = ending::inputs(PODS, CLOSES).collect();
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(u64::try_from(inputs.len()).unwrap_or(0)));
    group.bench_function("10 pods end", |b| {
        b.iter_batched(
            || inputs.clone(),
            |inputs| {
                let mut engine = Engine::new(ending::session());
                for input in inputs {
                    engine.handle(&input);
                }
                let reports: Vec<Report> = std::iter::from_fn(|| engine.poll()).collect();
                assert_eq!(reports.len(), usize::try_from(PODS).unwrap_or(0));
                (engine, reports)
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("written to a log", |b| {
        b.iter(|| {
            let mut log = Writer::new(std::io::sink(), &ending::session()).expect("a log into nothing");
            for input in &inputs {
                log.write(black_box(input)).expect("a line");
            }
        });
    });
    group.finish();
}

fn sinks(c: &mut Criterion) {
    let report = report();
    let mut group = c.benchmark_group("report");
    group.bench_function("text", |b| b.iter(|| text::render(black_box(&report), 100, false)));
    group.bench_function("json", |b| {
        let mut sink = json::Json(std::io::sink());
        b.iter(|| sink.report(black_box(&report)).expect("nothing refuses"));
    });
    group.bench_function("jsonl", |b| {
        let mut sink = jsonl::JsonLines(std::io::sink());
        b.iter(|| sink.report(black_box(&report)).expect("nothing refuses"));
    });
    group.finish();
}

/// One with all of its connections listed.
fn report() -> Report {
    let mut engine = Engine::new(ending::session());
    for input in ending::inputs(1, CLOSES) {
        engine.handle(&input);
    }
    engine.poll().expect("a report")
}

criterion_group!(benches, decoding, engine, sinks);
criterion_main!(benches);
