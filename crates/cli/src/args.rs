//! Arguments that several commands have. Names no command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vitalwire_registry::Protocol;

/// Where the log goes and how much of it there is. It always goes to standard error.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Form of the log lines
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = LogFormat::Text,
        env = "VITALWIRE_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Log"
    )]
    pub(crate) log_format: LogFormat,
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as
    /// `info,vitalwire_gateway=debug` [default: RUST_LOG, else info for serve and warn for the rest]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "VITALWIRE_LOG_LEVEL",
        hide_env_values = true,
        help_heading = "Log"
    )]
    pub(crate) log_level: Option<String>,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which data folder, and the key that opens it.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// The data folder, made by `vitalwire init`
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    pub(crate) data: PathBuf,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    pub(crate) master_key: Option<PathBuf>,
}

impl DataArgs {
    /// The flags that name the folder in a command that is proposed, with a blank before them; none for what the
    /// environment names.
    pub(crate) fn flags(&self) -> String {
        let given = [
            ("--data", "VITALWIRE_DATA", Some(&self.data)),
            ("--master-key", "VITALWIRE_MASTER_KEY", self.master_key.as_ref()),
        ];
        let flags = given.into_iter().filter_map(|(flag, variable, path)| {
            let path = path.filter(|path| std::env::var_os(variable).as_deref() != Some(path.as_os_str()))?;
            Some(format!(" {flag} {}", quoted(&path.display().to_string())))
        });
        flags.collect()
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+=,".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A protocol, as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    /// TLS 1.3 with a pre-shared key: authenticated, acknowledged
    Tls,
    /// The paper's frames: confidential only, for devices that cannot be updated
    AesCbc,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::Tls => Self::Tls,
            ProtocolName::AesCbc => Self::AesCbc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_as_a_shell_needs_them() {
        assert_eq!(quoted("./data"), "./data");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
