//! `vitalwire alarms`: what is open, who knows, limits, and whether alarms are good for something. The server that watches decides
//! and writes; this asks it, or reads what it wrote.

mod ask;
mod limits;
mod list;
mod load;
mod replay;
mod setting;
mod shown;
mod test_hook;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use crate::output::Output;

/// The commands of `vitalwire alarms`.
#[derive(Debug, Subcommand)]
pub(crate) enum AlarmsCommand {
    /// List the open alarms, also while no server runs
    #[command(after_help = list::HELP)]
    List(list::ListAlarms),
    /// Watch the alarms of a running server: a live table, or a line a change
    #[command(after_help = watch::HELP)]
    Watch(watch::WatchAlarms),
    /// Say that you know of alarms: they stay in the list as long as they last
    #[command(after_help = ask::ACK_HELP)]
    Ack(ask::AckAlarms),
    /// Pause a patient's alarms, for 2 minutes at most
    #[command(after_help = ask::PAUSE_HELP)]
    Pause(ask::PauseAlarms),
    /// Show or set a patient's limits, delays, and what is off
    #[command(after_help = limits::HELP)]
    Limits(limits::SetLimits),
    /// Report how many alarms there were, and what they were good for
    #[command(after_help = load::HELP)]
    Load(load::LoadArgs),
    /// Tell what other limits or delays would have raised, from the journal
    #[command(after_help = replay::HELP)]
    Replay(replay::ReplayArgs),
    /// Send a test message to the web hooks, and say what came of it
    #[command(after_help = test_hook::HELP)]
    TestHook(test_hook::TestHookArgs),
}

/// Runs `vitalwire alarms`.
///
/// # Errors
/// When neither server nor registry can be asked, or what is asked makes no sense.
pub(crate) fn run(command: AlarmsCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        AlarmsCommand::List(args) => list::run(&args, out),
        AlarmsCommand::Watch(args) => watch::run(&args, out),
        AlarmsCommand::Ack(args) => ask::acknowledge(&args, out),
        AlarmsCommand::Pause(args) => ask::pause(&args, out),
        AlarmsCommand::Limits(args) => limits::run(&args, out),
        AlarmsCommand::Load(args) => load::run(&args, out),
        AlarmsCommand::Replay(args) => replay::run(&args, out),
        AlarmsCommand::TestHook(args) => test_hook::run(&args, out),
    }
}
