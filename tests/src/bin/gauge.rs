//! What the kernel says about every eBPF program that is loaded, one line a program, for `cargo xtask bench`:
//! id, type (`enum bpf_prog_type`), name, instructions the verifier went through, bytes of its code translated and
//! compiled, nanoseconds it ran and how often. It changes nothing.
#![expect(clippy::print_stdout, reason = "what xtask reads is this program's output")]

use aya::programs::ProgramInfo;

fn main() {
    // one that went meanwhile is as good as one that was never there
    for program in aya::programs::loaded_programs().flatten() {
        println!("{}", line(&program));
    }
}

fn line(program: &ProgramInfo) -> String {
    let name = String::from_utf8_lossy(program.name()).replace(char::is_whitespace, "_");
    let name = if name.is_empty() { "-" } else { &name };
    let count = |number: Option<u32>| number.unwrap_or(0);
    format!(
        "{} {} {name} {} {} {} {} {}",
        program.id(),
        program.program_type() as u32,
        count(program.verified_instruction_count()),
        count(program.size_translated()),
        program.size_jitted(),
        program.run_time().as_nanos(),
        program.run_count(),
    )
}
