//! `vitalwire master-key`: seals the registry under a fresh master key. Shows no key.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use vitalwire_registry::{Registry, master_key_path};

use crate::args::DataArgs;
use crate::data;
use crate::output::{Output, even_if_closed};
use crate::rotation::said;

/// The commands of `vitalwire master-key`.
#[derive(Debug, Subcommand)]
pub(crate) enum MasterKeyCommand {
    /// Seal everything under a fresh key, which takes the old one's place in its file
    #[command(after_help = "\
Examples:
  cp ./data.master-key KEPT-WITH-OLD-BACKUPS   # if such are to be restored
  vitalwire master-key rotate --data ./data
  cp ./data.master-key KEPT-ELSEWHERE

Devices keep their keys, users their passwords; the audit log goes on. A running
server that reads the same file takes the new key up by itself. One that was
given a copy says so in its log, serves what it knew, and must be restarted: by
systemd (LoadCredential=) with `systemctl restart vitalwire`. Where the file is
encrypted (LoadCredentialEncrypted=), decrypt it by `systemd-creds decrypt` to a
file of mode 0600 that is the service user's, rotate there with --master-key,
and encrypt that.

Backups from before open with the old key only, those from now on with the new
one only. Who had both the old key and a copy of the data folder had the
devices' keys, too: then also rotate these (`vitalwire device rotate`).

Cut off at any moment it leaves a file with the key that is needed; the next
rotation completes it. The file is changed in its place, so owner and mode stay.")]
    Rotate(DataArgs),
}

/// Runs `vitalwire master-key`.
///
/// # Errors
/// When registry or key cannot be opened or written.
pub(crate) fn run(command: MasterKeyCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let MasterKeyCommand::Rotate(args) = command;
    if !data::has_registry(&args.data)? {
        // It says what to do.
        args.open()?;
    }
    let file = master_key_path(&args.data, args.master_key.as_deref());
    let rotated =
        Registry::rotate_master_key(&args.data, &file, None).context("the master key was not rotated")?;
    even_if_closed(writeln!(out, "{}", said(&rotated, &file.display().to_string())))?;
    Ok(ExitCode::SUCCESS)
}
