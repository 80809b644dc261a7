//! `vitalwire doctor`: looks at ports, files, permissions, clock and limits, and says what to do. Changes nothing.

mod checks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::config::{self, BrokerSettings, Overrides, Settings};
use crate::output::{Output, OutputError, even_if_closed};
use crate::{data, safety};

const EXAMPLES: &str = "\
Examples:
  vitalwire doctor --data ./data
  vitalwire doctor --data ./data --json | jq '.[] | select(.state != \"ok\")'

Exit status 0 when `serve` will run, though something may deserve a look (!), and 1 when it will not (✗).";

/// Arguments of `vitalwire doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The data folder; without it only what needs none is looked at
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    master_key: Option<PathBuf>,
    /// The settings file [default: DIR/vitalwire.toml]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    message: String,
}

fn ok(check: &'static str, message: impl Into<String>) -> Finding {
    Finding { check, state: State::Ok, message: message.into() }
}

fn warn(check: &'static str, message: impl Into<String>) -> Finding {
    Finding { check, state: State::Warn, message: message.into() }
}

fn fail(check: &'static str, message: impl Into<String>) -> Finding {
    Finding { check, state: State::Fail, message: message.into() }
}

/// Runs `vitalwire doctor`.
///
/// # Errors
/// When the result cannot be printed.
pub(crate) fn run(args: &DoctorArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let findings = look(args);
    even_if_closed(if args.json {
        writeln!(out, "{}", serde_json::to_string(&findings)?)
    } else {
        findings.iter().try_for_each(|finding| tell(finding, out))
    })?;
    let failed = findings.iter().any(|finding| finding.state == State::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(Finding { check, state, message }: &Finding, out: &mut Output<'_>) -> Result<(), OutputError> {
    let mark = match state {
        State::Ok => '✓',
        State::Warn => '!',
        State::Fail => '✗',
    };
    writeln!(out, "{mark} {check:12} {message}")
}

fn look(args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = vec![checks::clock(), checks::open_files()];
    // Without a data folder the default ports are still worth a look.
    let data = args.data.clone().or(args.config.is_none().then(PathBuf::new));
    let overrides = Overrides { data, master_key: args.master_key.clone(), ..Overrides::default() };
    let settings = config::read_file(args.config.as_deref(), args.data.as_deref())
        .and_then(|file| Settings::resolve(overrides, file, data::own_certificate));
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            findings.push(fail("settings", error.to_string()));
            return findings;
        }
    };
    findings.extend(unsafe_settings(&settings));
    findings.extend(checks::ports(&settings));
    if settings.data.as_os_str().is_empty() {
        findings.push(warn("data", "no data folder was named: --data DIR looks at its files and keys too"));
        return findings;
    }
    findings.extend(checks::data_folder(&settings.data, settings.master_key.as_deref()));
    if let BrokerSettings::Embedded { tls, .. } = &settings.broker {
        findings.push(checks::certificate(tls.as_ref()));
    }
    findings
}

fn unsafe_settings(settings: &Settings) -> Vec<Finding> {
    let refusals = safety::refusals(settings);
    if refusals.is_empty() {
        return vec![ok("settings", "nothing exposes patients or keys")];
    }
    refusals.iter().map(|refusal| fail("settings", refusal.to_string())).collect()
}
