//! `vitalwire doctor`: looks at ports, files, permissions, clock and limits, and says what to do. Changes nothing.

mod checks;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::config::{BrokerSettings, Layers, SettingArgs, Settings};
use crate::explain::explain;
use crate::output::{Output, OutputError, even_if_closed};
use crate::{data, safety};

const EXAMPLES: &str = "\
Examples:
  vitalwire doctor --data ./data
  vitalwire doctor --data ./data --json | jq '.[] | select(.state != \"ok\")'

Exit status 0 when `serve` will run and keep what devices send, though something
may deserve a look (!), and 1 when it will not (✗).";

/// Arguments of `vitalwire doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    settings: SettingArgs<false>,
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
    let layers = Layers::load(&args.settings);
    // Without a data folder the ports are still worth a look.
    let has_data = layers.as_ref().is_ok_and(|layers| layers.data().is_some());
    let settings =
        match layers.and_then(|layers| layers.or_data(Path::new("")).resolve(data::own_certificate)) {
            Ok(settings) => settings,
            Err(error) => {
                findings.push(fail("settings", explain(&error.into())));
                return findings;
            }
        };
    findings.extend(unsafe_settings(&settings));
    findings.extend(checks::ports(&settings));
    if !has_data {
        findings.push(warn("data", "no data folder was named: --data DIR looks at its files and keys too"));
        return findings;
    }
    findings.push(checks::disk(&settings.data));
    findings.extend(checks::data_folder(&settings.data, settings.master_key.as_deref()));
    if let BrokerSettings::Embedded { tls, .. } = &settings.broker {
        findings.push(checks::certificate(tls.as_ref()));
    }
    findings.extend(settings.dashboard.as_ref().and_then(checks::dashboard_certificate));
    findings
}

fn unsafe_settings(settings: &Settings) -> Vec<Finding> {
    let refusals = safety::refusals(settings);
    if refusals.is_empty() {
        return vec![ok("settings", "nothing exposes patients or keys")];
    }
    refusals.iter().map(|refusal| fail("settings", refusal.to_string())).collect()
}
