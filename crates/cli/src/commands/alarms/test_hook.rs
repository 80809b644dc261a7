//! `vitalwire alarms test-hook`: whether escalations would arrive. It uses the settings of the server, and needs none that runs.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_gateway::test_web_hooks;

use crate::commands::serve;
use crate::config::{Layers, SettingArgs};
use crate::data;
use crate::output::Output;
use crate::safety;

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms test-hook --data ./data
  vitalwire alarms test-hook --data ./data --webhook-secret-file hook-secret \\
      --webhooks https://ward.example/hooks/vitalwire

Web hooks are told of alarms that no one acknowledged. Settings are those of
`vitalwire serve`: alarms.webhooks and those beside it. The message is signed as
all are (PROTOCOL.md), and its kind is `test`. It is sent once to each, and no
server needs to run. Exit status 0 only if each took it.";

/// Which web hooks are tried.
#[derive(Debug, Args)]
pub(crate) struct TestHookArgs {
    #[command(flatten)]
    settings: SettingArgs<false>,
}

/// Runs `vitalwire alarms test-hook`.
///
/// # Errors
/// When there are no web hooks, or their settings cannot be used.
pub(super) fn run(args: &TestHookArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let settings = Layers::load(&args.settings)?.resolve(data::own_certificate)?;
    let Some(hooks) = settings.web_hooks else {
        bail!("no web hook is set: name one with alarms.webhooks in the settings file, or --webhooks URL");
    };
    if let Some(refusal) = safety::web_hook_refusals(&hooks).into_iter().next() {
        bail!(refusal);
    }
    let config = serve::web_hooks(hooks)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the event loop")?;
    let results = runtime.block_on(test_web_hooks(&config))?;
    let mut all_took_it = true;
    for (hook, result) in results {
        match result {
            Ok(()) => writeln!(out, "{hook}: delivered")?,
            Err(failure) => {
                all_took_it = false;
                writeln!(out, "{hook}: NOT delivered: {failure}")?;
            }
        }
    }
    // A lookup may still be running on a blocking thread; no one waits for its answer.
    runtime.shutdown_background();
    Ok(if all_took_it { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
