//! Finds what turns `tracer-ebpf` into an object for the kernel, and says how to call it.
//!
//! The one source of that knowledge: xtask has it as a module, `tracer/build.rs` pulls the same file
//! in by its path. So it uses `std` alone, prints nothing and installs nothing.
//!
//! Two things are needed. A compiler that has the source of its own library, because no `core` for
//! `bpfel-unknown-none` is distributed, so it is built along (`-Z build-std`). And bpf-linker, because LLVM
//! bitcode of all crates must become one object without calls between functions that old kernels refuse.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

/// Names the compiler to use for the probes, before any other that could be found.
pub(crate) const COMPILER_VARIABLE: &str = "GRACETRACE_BPF_RUSTC";

/// The compiler that distributions install, and the last one looked at.
const SYSTEM_COMPILER: &str = "/usr/bin/rustc";

/// `rust-version` of this workspace: aya-ebpf and we need edition 2024.
const MINIMAL_MINOR: u32 = 88;

/// A compiler that can build `core` for the kernel's virtual machine.
#[derive(Debug)]
pub(crate) struct Compiler {
    /// The compiler itself, never a wrapper that chooses one.
    pub(crate) rustc: PathBuf,
    /// The cargo that fits it.
    pub(crate) cargo: PathBuf,
    /// Its version as it says it, for people.
    pub(crate) version: String,
    /// Major version of its LLVM: bpf-linker's must not be older, or it cannot read the bitcode.
    pub(crate) llvm: u32,
}

/// Why none of the compilers will do: one reason for each.
#[derive(Debug)]
pub(crate) struct NoCompiler(pub(crate) Vec<String>);

impl fmt::Display for NoCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no compiler with library source for bpfel-unknown-none ({})", self.0.join("; "))
    }
}

/// The first compiler that will do: the one that [`COMPILER_VARIABLE`] names, rustup's nightly with
/// `rust-src`, the distribution's.
pub(crate) fn compiler() -> Result<Compiler, NoCompiler> {
    let mut reasons = Vec::new();
    let mut consider = |origin: &str, rustc: Option<PathBuf>, cargo: Option<PathBuf>| {
        let found = rustc.ok_or_else(|| "not there".to_owned()).and_then(|rustc| inspect(rustc, cargo));
        found.map_err(|why| reasons.push(format!("{origin}: {why}"))).ok()
    };

    if let Some(named) = named() {
        // who names one wants that one, or to know why not
        return consider(COMPILER_VARIABLE, Some(named), None).ok_or(NoCompiler(reasons));
    }
    let nightly = rustup_nightly();
    let its_cargo = nightly.as_ref().map(|rustc| rustc.with_file_name("cargo")).filter(|cargo| cargo.exists());
    let system = Some(PathBuf::from(SYSTEM_COMPILER)).filter(|rustc| rustc.exists());
    consider("rustup nightly", nightly, its_cargo)
        .or_else(|| consider(SYSTEM_COMPILER, system, None))
        .ok_or(NoCompiler(reasons))
}

/// The compiler that the user wants, if any; an empty name is none.
pub(crate) fn named() -> Option<PathBuf> {
    env::var_os(COMPILER_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// bpf-linker, from `PATH` or from where `cargo install` puts it, if it runs (its LLVM may be gone).
pub(crate) fn linker() -> Result<PathBuf, String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&folders).chain(cargo_home().map(|home| home.join("bin")));
    let mut reason = "bpf-linker is not in PATH".to_owned();
    for candidate in places.map(|folder| folder.join("bpf-linker")).filter(|path| path.is_file()) {
        match Command::new(&candidate).arg("--version").output() {
            Ok(output) if output.status.success() => return Ok(candidate),
            Ok(output) => reason = format!("{} does not run: {}", candidate.display(), first_line(&output.stderr)),
            Err(error) => reason = format!("{} does not run: {error}", candidate.display()),
        }
    }
    Err(reason)
}

/// The call of cargo that builds the probes, and the object that it makes.
///
/// `target` must not be the folder that an outer cargo has locked, or both wait for ever.
pub(crate) fn build_command(compiler: &Compiler, linker: &Path, workspace: &Path, target: &Path) -> (Command, PathBuf) {
    let mut flags = OsString::from("-Clinker=");
    flags.push(linker);
    // BTF for the maps and for the verifier's messages; the kernel has nothing to unwind with
    for flag in ["-Clink-arg=--btf", "-Cdebuginfo=2", "-Cpanic=abort"] {
        flags.push("\x1f");
        flags.push(flag);
    }

    let mut cargo = Command::new(&compiler.cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| belongs_to_outer_build(name)) {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(workspace)
        .env("RUSTC", &compiler.rustc)
        // `-Z build-std` is for nightly compilers, unless one says it knows
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .args(["build", "--release", "--package", "tracer-ebpf", "--bin", "gracetrace-probes"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(target);
    (cargo, target.join("bpfel-unknown-none/release/gracetrace-probes"))
}

/// The folder for [`build_command`] beside everything else cargo makes, so that every profile, clippy and
/// doc share one build of `core`. `inside` is any path in cargo's target folder.
pub(crate) fn target_folder(inside: &Path) -> Option<PathBuf> {
    cargos_folder(inside).map(|target| target.join("bpf"))
}

/// Cargo's target folder. It bears a tag if cargo made it; one that was there before (a mounted volume, a cache) only has the file
/// in which cargo remembers its compiler.
pub(crate) fn cargos_folder(inside: &Path) -> Option<&Path> {
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    marks.into_iter().find_map(|mark| inside.ancestors().find(|folder| folder.join(mark).exists()))
}

/// Looks whether this compiler will do.
fn inspect(rustc: PathBuf, cargo: Option<PathBuf>) -> Result<Compiler, String> {
    let said = ask(&rustc, &["--version", "--verbose"])?;
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let release = field("release:").ok_or("does not say its release")?;
    let minor = release.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < MINIMAL_MINOR) {
        return Err(format!("is {release}, 1.{MINIMAL_MINOR} is needed"));
    }
    let llvm = field("LLVM version:").and_then(|version| version.split('.').next()?.parse().ok());
    let llvm = llvm.ok_or("was not built with LLVM")?;

    let sysroot = ask(&rustc, &["--print", "sysroot"])?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists() {
        return Err("has no library source".to_owned());
    }
    let cargo = cargo.or_else(|| env::var_os("CARGO").map(PathBuf::from)).unwrap_or_else(|| "cargo".into());
    let version = said.lines().next().unwrap_or_default().to_owned();
    Ok(Compiler { rustc, cargo, version, llvm })
}

/// rustup's newest nightly, if there is one; rustup is kept from fetching it on the quiet.
fn rustup_nightly() -> Option<PathBuf> {
    let rustup = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .env("RUSTUP_AUTO_INSTALL", "0")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(rustup.stdout).ok()?.trim()))
}

/// What a program prints, or why it does not.
fn ask(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .map_err(|error| format!("does not run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("does not run: {}", first_line(&output.stderr)))
    }
}

/// Where cargo keeps what it installs.
fn cargo_home() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// Is this variable about the build that runs us (cargo's, clippy's, rustdoc's), and wrong for one of our own?
/// What says how to reach and authenticate to a registry stays.
fn belongs_to_outer_build(name: &OsStr) -> bool {
    const KEPT: [&str; 8] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "CARGO_MAKEFLAGS",
        "CARGO_BUILD_JOBS",
    ];
    let name = name.to_string_lossy();
    let cargos = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargos
        || name.starts_with("RUSTC")
        || name.starts_with("RUSTDOC")
        || name == "RUSTFLAGS"
        || name == "RUSTUP_TOOLCHAIN"
}

/// The first line that says something, or a word for silence.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing").to_owned()
}
