//! Passwords: reading them from a file, a pipe, the environment or a person. Never prints one.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
pub(crate) use vitalwire_registry::generate_password;

use crate::{safety, terminal};

/// Longest password that is read, in bytes; argon2 would take more, but no one types it.
const PASSWORD_LEN_MAX: u64 = 1024;
/// Reads a password from standard input: one line, its end removed.
///
/// # Errors
/// When there is none, or it is not one line of text.
pub(crate) fn from_stdin() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    std::io::stdin()
        .take(PASSWORD_LEN_MAX + 1)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    one_line(text).context("standard input must hold the password on one line")
}

/// Reads a password from a file that only its owner can read.
///
/// # Errors
/// When the file is missing, open to others, or not one line of text.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<SecretString> {
    safety::check_secret_file(path)?;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    one_line(text).with_context(|| format!("{} must hold the password on one line", path.display()))
}

/// The MQTT password: from the file when one is named, else from `VITALWIRE_MQTT_PASSWORD`, else from the
/// person at the terminal.
///
/// # Errors
/// When no source gives one.
pub(crate) fn mqtt_password(file: Option<&Path>, user: &str) -> anyhow::Result<SecretString> {
    if let Some(path) = file {
        return from_file(path);
    }
    if let Ok(text) = std::env::var("VITALWIRE_MQTT_PASSWORD") {
        return one_line(text).context("VITALWIRE_MQTT_PASSWORD");
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return terminal::ask_password(&format!("MQTT password of {user}: "));
    }
    bail!(
        "no password for the MQTT user {user}: set VITALWIRE_MQTT_PASSWORD, or name a file of mode 0600 \
         with --password-file"
    )
}

/// Asks a person twice for a new password, without showing it.
///
/// # Errors
/// When there is no terminal, or the two differ.
pub(crate) fn ask_new(user: &str) -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!(
            "no terminal to ask for the password: pipe it in with --password-stdin, or let one be made with --generate"
        );
    }
    let first = terminal::ask_password(&format!("New password of {user}: "))?;
    let second = terminal::ask_password("Once more: ")?;
    if first.expose_secret() != second.expose_secret() {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(first)
}

fn one_line(mut text: String) -> anyhow::Result<SecretString> {
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    if text.is_empty() {
        bail!("the password is empty");
    }
    if text.len() as u64 > PASSWORD_LEN_MAX {
        bail!("the password is longer than {PASSWORD_LEN_MAX} bytes");
    }
    if text.contains(['\r', '\n']) {
        bail!("the password has more than one line");
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_end_is_not_part_of_the_password() {
        assert_eq!(one_line("geheim 1\r\n".into()).unwrap().expose_secret(), "geheim 1");
        assert!(one_line("\n".into()).is_err());
        assert!(one_line("two\nlines\n".into()).is_err());
    }
}
