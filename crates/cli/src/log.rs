//! The log: its form, its level, its place, and how many lines it takes of one kind. Never writes to standard output, which belongs to results.

mod limit;
mod repeats;

use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::Context;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::{LogArgs, LogFormat};
use limit::RepeatLimit;

/// The log is started once.
static LIMIT: OnceLock<RepeatLimit> = OnceLock::new();

/// Starts the log on standard error. `level_default` holds when neither a flag nor `RUST_LOG` says otherwise.
///
/// # Errors
/// When the level cannot be read.
pub(crate) fn start(args: &LogArgs, level_default: &str) -> anyhow::Result<()> {
    let filter = match &args.log_level {
        Some(text) => parse(text).with_context(|| format!("--log-level {text}"))?,
        None => match std::env::var("RUST_LOG") {
            Ok(text) if !text.trim().is_empty() => {
                parse(&text).with_context(|| format!("RUST_LOG={text}"))?
            }
            _ => parse(level_default)?,
        },
    };
    let limit = RepeatLimit::start().context("cannot start the log")?;
    let limit = LIMIT.get_or_init(|| limit).clone();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match args.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(limit).boxed(),
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).with_target(false).with_filter(limit).boxed()
        }
    };
    tracing_subscriber::registry().with(lines).with(filter).init();
    Ok(())
}

/// Tells what was left out of the log and is not told yet. For the end of the program.
pub(crate) fn finish() {
    if let Some(limit) = LIMIT.get() {
        limit.tell();
    }
}

/// A single word sets our own level; the libraries below us report at most warnings, because what they have to say at
/// info (every client that comes and goes) we say ourselves, with peer and user.
fn parse(text: &str) -> anyhow::Result<EnvFilter> {
    const WANTED: &str =
        "not a log level: use off, error, warn, info, debug, trace, or part=level pairs with commas";
    // A word that is no level would be taken for a part of the program, and the log would be silent.
    let words = text.split(',').map(str::trim).filter(|word| !word.contains('='));
    for word in words {
        anyhow::ensure!(!word.is_empty() && word.parse::<LevelFilter>().is_ok(), WANTED);
    }
    let filter = match text {
        "info" | "debug" | "trace" => format!("warn,vitalwire={text}"),
        _ => text.to_owned(),
    };
    EnvFilter::try_new(filter).context(WANTED)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn refuses_an_unknown_level_and_names_the_known_ones() {
        for text in ["vitalwire=loud", "bogus", "info,bogus", "verbose", ""] {
            let message = format!("{:#}", parse(text).unwrap_err());
            assert!(message.contains("off, error, warn"), "{text}: {message}");
        }
        assert!(parse("off").is_ok() && parse("warn,vitalwire=info").is_ok());
        assert!(parse("info,vitalwire_gateway=debug").is_ok());
    }

    #[test]
    fn a_single_word_is_our_own_level_and_keeps_libraries_at_warnings() {
        assert_eq!(parse("info").unwrap().to_string(), "vitalwire=info,warn");
        assert_eq!(parse("error").unwrap().to_string(), "error");
    }
}
