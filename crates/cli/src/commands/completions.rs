//! `vitalwire completions`: the script by which a shell completes the program's commands and flags.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  vitalwire completions bash \\
      > ~/.local/share/bash-completion/completions/vitalwire
  vitalwire completions zsh > ~/.zfunc/_vitalwire
  vitalwire completions fish > ~/.config/fish/completions/vitalwire.fish

The Debian package has them already.";

/// Arguments of `vitalwire completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `vitalwire completions` for this tree of commands.
///
/// # Errors
/// When the script cannot be written.
pub(crate) fn run(
    args: &CompletionsArgs,
    mut tree: Command,
    out: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(args.shell, &mut tree, "vitalwire", &mut script);
    write!(out, "{}", String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
