//! New files that only their owner can read. Never overwrites one.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};

/// Makes a file of mode 0600.
///
/// # Errors
/// When it is there already (it is left as it is), or cannot be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow!("{shown} is there already and was left as it is; name another file, or remove it")
        }
        _ => anyhow!("cannot make {shown}: {error}"),
    })?;
    file.write_all(bytes).with_context(|| format!("cannot write {shown}"))
}
