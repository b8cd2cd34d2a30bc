//! Builds the eBPF object from the workspace member `tracer-ebpf` and gives the crate its path as
//! `GRACETRACE_PROBES`, for the loader to embed.
//!
//! It installs nothing: without a compiler or a linker for eBPF it ends with one line that says so.

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use bpf_toolchain::Compiler;
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Why there is no object.
enum Failure {
    /// One line says it all.
    Plain(String),
    /// The inner cargo has said more.
    Compilation { said: String, what: String },
}

impl<S: Into<String>> From<S> for Failure {
    fn from(what: S) -> Self {
        Self::Plain(what.into())
    }
}

fn main() -> ExitCode {
    match build_probes() {
        Ok(()) => ExitCode::SUCCESS,
        // cargo fails the build for the line, and shows nothing else as long as the script itself does not fail
        Err(Failure::Plain(what)) => {
            println!("cargo::error={what}");
            ExitCode::SUCCESS
        }
        Err(Failure::Compilation { said, what }) => {
            eprintln!("{said}\n{what}");
            ExitCode::FAILURE
        }
    }
}

fn build_probes() -> Result<(), Failure> {
    let own_folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = own_folder.parent().ok_or("tracer/ is not in a workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed={}", bpf_toolchain::COMPILER_VARIABLE);
    for source in
        ["tracer-ebpf/src", "tracer-ebpf/Cargo.toml", "Cargo.toml", "Cargo.lock", "xtask/src/bpf_toolchain.rs"]
    {
        rerun_if_changed(&workspace.join(source));
    }

    let set_up = |what: String| format!("the eBPF programs can't be built: {what}; run: cargo xtask setup");
    let compiler = bpf_toolchain::compiler().map_err(|what| set_up(what.to_string()))?;
    let linker = bpf_toolchain::linker().map_err(set_up)?;
    rerun_if_changed(&compiler.rustc);
    rerun_if_changed(&linker);

    let target = bpf_toolchain::target_folder(&out).unwrap_or_else(|| out.join("bpf"));
    let (cargo, built) = bpf_toolchain::build_command(&compiler, &linker, workspace, &target);
    run(cargo, &compiler)?;

    // a copy: what this crate embeds must not change under it when another build begins
    let object = out.join("gracetrace-probes");
    let whole = fs::read(built).map_err(|error| format!("no eBPF object was made: {error}"))?;
    let bare = without_debug_sections(&whole).map_err(|what| {
        format!(
            "the eBPF object cannot be stripped ({what}); make it anew: cargo uninstall bpf-linker && cargo xtask setup"
        )
    })?;
    fs::write(&object, bare).map_err(|error| format!("cannot write {}: {error}; check the disk", object.display()))?;
    println!("cargo::rustc-env=GRACETRACE_PROBES={}", object.display());
    Ok(())
}

/// What the compiler needed to make BTF of, which is what a kernel and the loader read: four fifths of the object, which each
/// start would copy.
fn without_debug_sections(object: &[u8]) -> Result<Vec<u8>, String> {
    let mut object = Builder::read(object).map_err(|error| error.to_string())?;
    for needed in [".BTF", ".BTF.ext", "maps"] {
        if !object.sections.iter().any(|section| section.name.as_slice() == needed.as_bytes()) {
            return Err(format!("it has no section {needed}"));
        }
    }
    for section in &mut object.sections {
        section.delete = [".debug", ".rel.debug"].iter().any(|begin| section.name.starts_with(begin.as_bytes()));
    }
    object.delete_orphans();
    // LLVM keeps the names of sections among those of symbols, this writer apart
    let names = object.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut bare = Vec::new();
    object.write(&mut bare).map_err(|error| error.to_string())?;
    Ok(bare)
}

/// Runs the inner cargo; its warnings become warnings of this build, its errors are shown whole.
fn run(mut cargo: Command, compiler: &Compiler) -> Result<(), Failure> {
    let output = cargo.output().map_err(|error| format!("{} does not run: {error}", cargo.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        for (warning, place) in warnings(&said) {
            println!("cargo::warning={warning} ({place})");
        }
        return Ok(());
    }
    let Compiler { version, llvm, .. } = compiler;
    let what = if said.contains("linking with") {
        format!(
            "bpf-linker failed on what {version} made of the eBPF programs; \
             if it is of an LLVM older than {llvm}: cargo uninstall bpf-linker && cargo xtask setup"
        )
    } else {
        format!("the eBPF programs do not compile with {version}")
    };
    Err(Failure::Compilation { said: said.into_owned(), what })
}

/// The compiler's warnings with their places; cargo's own summaries have none.
fn warnings(said: &str) -> impl Iterator<Item = (&str, &str)> {
    said.lines().zip(said.lines().skip(1)).filter_map(|(line, next)| {
        let place = next.trim_start().strip_prefix("--> ")?;
        Some((line.strip_prefix("warning: ")?, place))
    })
}

fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo should have set {name}: {error}"))
}
