//! `vitalwire man`: the help pages as a manual for man(1), a page for each command.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  vitalwire man ./man && man ./man/vitalwire-serve.1
  sudo vitalwire man /usr/local/share/man/man1 && man vitalwire

The Debian package has them already.";

/// Arguments of `vitalwire man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The folder for the pages; made when it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs `vitalwire man` for this tree of commands.
///
/// # Errors
/// When folder or files cannot be written.
pub(crate) fn run(args: &ManArgs, tree: Command, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut tree = tree.disable_help_subcommand(true);
    // Gives each command the name that it has behind those above it.
    tree.build();
    write_pages(&tree, folder, out)?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: &Command, folder: &Path, out: &mut Output<'_>) -> anyhow::Result<()> {
    let man = Man::new(command.clone()).source(concat!("vitalwire ", env!("CARGO_PKG_VERSION")));
    let path = folder.join(man.get_filename());
    let page = page(&man, command)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    writeln!(out, "{}", path.display())?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.into_iter().try_for_each(|below| write_pages(below, folder, out))
}

fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(examples) = command.get_after_help() {
        write_examples(&examples.to_string(), &mut page)?;
    }
    Ok(page)
}

/// Line by line as they were written: the crate's own way would make one paragraph of them.
fn write_examples(examples: &str, page: &mut impl Write) -> io::Result<()> {
    let text = examples.strip_prefix("Examples:\n").or_else(|| examples.strip_prefix("Example:\n"));
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in text.unwrap_or(examples).lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_control_nothing() {
        let mut page = Vec::new();
        write_examples("Examples:\n  vitalwire x \\\n      --flag\n\n.so /etc/passwd\n'br", &mut page)
            .unwrap();
        let page = String::from_utf8(page).unwrap();
        let lines: Vec<_> = page.lines().skip_while(|line| *line != ".nf").collect();
        assert!(page.contains(".SH EXAMPLES\n"), "{page}");
        assert!(page.contains("  vitalwire x \\\\\n      \\-\\-flag\n"), "{page}");
        assert!(lines.iter().all(|line| !line.starts_with(".so") && !line.starts_with('\'')), "{page}");
        assert_eq!(lines.last(), Some(&".fi"));
    }
}
