//! What this kernel's own description of its types (BTF) names: read by hand, so that gracetrace's reading is not held against itself.

/// Whether it names this type or function.
pub(crate) fn have(name: &str) -> anyhow::Result<bool> {
    let types = std::fs::read("/sys/kernel/btf/vmlinux")?;
    Ok(types.split(|byte| *byte == 0).any(|text| text == name.as_bytes()))
}
