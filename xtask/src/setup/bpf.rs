//! The compiler and the linker for the eBPF programs.
//!
//! rustup's nightly with `rust-src` is the first choice, because it is everyone's; Debian's `rustc-web` is
//! there where rustup can fetch nothing. bpf-linker reads what the compiler's LLVM wrote, so its own LLVM
//! must not be older: it is built against the one that fits.

use super::apt::Apt;
use super::{Unmet, found, missing};
use crate::bpf_toolchain::{self, COMPILER_VARIABLE, Compiler};
use crate::process;
use anyhow::{Result, bail};
use std::env;
use std::path::Path;
use std::process::Command;

/// What rustup is asked for where it has no nightly.
const NIGHTLY: [&str; 7] = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"];

const LINKER_VERSION: &str = "0.13.0";
/// The newest LLVM that this bpf-linker can be built against.
const LINKER_NEWEST_LLVM: u32 = 23;

/// The compiler, installed if need be.
pub(super) fn compiler(apt: &mut Apt) -> Result<Compiler, Unmet> {
    let name = "eBPF compiler";
    let look = || {
        bpf_toolchain::compiler().inspect(|compiler| {
            found(name, &format!("{} at {}, LLVM {}", compiler.version, compiler.rustc.display(), compiler.llvm));
        })
    };
    match look() {
        Ok(compiler) => return Ok(compiler),
        Err(absent) => missing(name, &format!("{absent}; the probes run in the kernel")),
    }

    let mut reason = format!("{COMPILER_VARIABLE} names one that won't do");
    if bpf_toolchain::named().is_none() {
        type Way = fn(&mut Apt) -> Result<()>;
        let ways: [(&str, Way); 2] =
            [("rustup", |_| rust_src()), ("Debian's rustc-web", |apt| apt.install(&["rustc-web", "rust-web-src"]))];
        reason = String::new();
        for (way, install) in ways {
            let why_not = match (install(apt), look()) {
                (_, Ok(compiler)) => return Ok(compiler),
                (Err(error), Err(_)) => format!("{error:#}"),
                (Ok(()), Err(absent)) => absent.to_string(),
            };
            println!("    not by {way}: {why_not}");
            reason =
                if reason.is_empty() { format!("{way}: {why_not}") } else { format!("{reason}; {way}: {why_not}") };
        }
    }
    let packages = vec!["rustc-web".to_owned(), "rust-web-src".to_owned()];
    Err(Unmet { name, reason, packages, instead: Some(format!("rustup {}", NIGHTLY.join(" "))), command: None })
}

/// bpf-linker, built if it is not there or too old for the compiler.
pub(super) fn linker(apt: &mut Apt, compiler: &Compiler) -> Result<(), Unmet> {
    let name = "bpf-linker";
    match bpf_toolchain::linker() {
        Ok(path) => match llvm_of(&path) {
            Some(llvm) if llvm < compiler.llvm => {
                missing(name, &format!("{} has LLVM {llvm}, rustc LLVM {}", path.display(), compiler.llvm));
            }
            _ => {
                found(name, &path.display().to_string());
                return Ok(());
            }
        },
        Err(absent) => missing(name, &format!("{absent}; it makes one object of the probes")),
    }
    let llvm = compiler.llvm;
    let reason = match build_linker(apt, llvm).and(bpf_toolchain::linker().map_err(anyhow::Error::msg)) {
        Ok(path) => {
            found(name, &path.display().to_string());
            return Ok(());
        }
        Err(error) => format!("{error:#}"),
    };
    let command = format!("LLVM_PREFIX={} {}", llvm_prefix(llvm), process::shown(&install_command(llvm)));
    let instead = format!("cargo binstall bpf-linker@{LINKER_VERSION}");
    Err(Unmet { name, reason, packages: vec![llvm_package(llvm)], instead: Some(instead), command: Some(command) })
}

/// Asks rustup for the library source of its nightly, or for the nightly.
fn rust_src() -> Result<()> {
    if process::find("rustup").is_none() {
        bail!("rustup is not there");
    }
    let mut rustup = Command::new("rustup");
    // or it would fetch the stable toolchain's missing parts for having been called at all
    rustup.env("RUSTUP_AUTO_INSTALL", "0").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUST_BACKTRACE");
    if process::succeeds("rustup", &["which", "--toolchain", "nightly", "rustc"]) {
        rustup.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    } else {
        rustup.args(NIGHTLY);
    }
    process::run(&mut rustup)
}

/// Builds bpf-linker against the first LLVM that is new enough and can be had.
fn build_linker(apt: &mut Apt, oldest: u32) -> Result<()> {
    let usable = |llvm: &u32| Path::new(&llvm_prefix(*llvm)).join("bin/llvm-config").exists();
    let mut fitting = oldest..=LINKER_NEWEST_LLVM;
    let llvm = match fitting.clone().find(usable) {
        Some(llvm) => llvm,
        None => match fitting.find(|llvm| apt.knows(&llvm_package(*llvm))) {
            Some(llvm) => {
                apt.install(&[&llvm_package(llvm)])?;
                llvm
            }
            None => bail!("no package llvm-N-dev with N from {oldest} to {LINKER_NEWEST_LLVM} here"),
        },
    };
    println!("    building bpf-linker against LLVM {llvm}, about two minutes");
    process::run(install_command(llvm).env("LLVM_PREFIX", llvm_prefix(llvm)))
}

/// Where Debian puts an LLVM.
fn llvm_prefix(llvm: u32) -> String {
    format!("/usr/lib/llvm-{llvm}")
}

fn llvm_package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

fn install_command(llvm: u32) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    cargo
}

/// Major version of the shared LLVM it uses; none if LLVM is linked in, as in released binaries.
fn llvm_of(linker: &Path) -> Option<u32> {
    let output = Command::new("ldd").arg(linker).output().ok()?;
    shared_llvm(&String::from_utf8_lossy(&output.stdout))
}

fn shared_llvm(libraries: &str) -> Option<u32> {
    let (_, version) = libraries.split_once("libLLVM.so.").or_else(|| libraries.split_once("libLLVM-"))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::shared_llvm;

    #[test]
    fn the_llvm_of_a_linker_is_read_from_its_libraries() {
        let check = |libraries: &str, llvm: Option<u32>| assert_eq!(shared_llvm(libraries), llvm, "{libraries}");
        check("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f)", Some(22));
        check("\tlibLLVM-19.so.1 => /lib/libLLVM-19.so.1 (0x00007f)", Some(19));
        check("\tstatically linked", None);
    }
}
