//! What one record costs in user space, step by step: decoding, the engine, the log, a report as text and as JSON.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gracetrace::engine::Engine;
use gracetrace::log::Writer;
use gracetrace::report::Report;
use gracetrace::sink::{Sink, json, text};
use gracetrace::source::probe::decode;
use gracetrace_tests::ending;
use std::hint::black_box;
use tracer_ebpf::{ProcessForked, kind};

const PODS: u32 = 10;
const CLOSES: u32 = 100;
const RECORDS: u16 = 1_000;

fn decoding(c: &mut Criterion) {
    let size = u16::try_from(size_of::<ProcessForked>()).unwrap_or(0);
    let mut record = vec![0; usize::from(size)];
    record[..2].copy_from_slice(&kind::PROCESS_FORKED.to_ne_bytes());
    record[2..4].copy_from_slice(&size.to_ne_bytes());
    let bytes = record.repeat(usize::from(RECORDS));
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS.into()));
    group.bench_function("process_fork", |b| {
        b.iter(|| decode::records(black_box(&bytes)).flatten().count());
    });
    group.finish();
}

fn engine(c: &mut Criterion) {
    let inputs = ending::inputs(PODS, CLOSES);
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(u64::try_from(inputs.len()).unwrap_or(0)));
    group.bench_function("10 pods end", |b| {
        b.iter_batched(
            || inputs.clone(),
            |inputs| {
                let mut engine = Engine::new(ending::session());
                for input in inputs {
                    engine.handle(input);
                }
                engine
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
    group.finish();
}

fn report() -> Report {
    let mut engine = Engine::new(ending::session());
    for input in ending::inputs(1, CLOSES) {
        engine.handle(input);
    }
    engine.poll().expect("a report")
}

criterion_group!(benches, decoding, engine, sinks);
criterion_main!(benches);
