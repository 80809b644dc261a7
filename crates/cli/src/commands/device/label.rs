//! `vitalwire device label`: the code with a device's key, or the codes that a person sets it up with; on the terminal or in
//! files of their own.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_registry::SetupSecrets;

use super::key::{links, note_pending, print_lines};
use crate::args::DataArgs;
use crate::label::{self, Label};
use crate::output::{Output, note};
use crate::private_file;

/// A device, and the files that its label goes to.
#[derive(Debug, Args)]
pub(crate) struct LabelDevice {
    /// The device's name
    id: DeviceId,
    /// The code for setting the device up instead: it opens the configuration page with the setup key
    #[arg(long)]
    setup: bool,
    /// With --setup: also the code that joins the device's own network, if it was provisioned with --wpa2
    #[arg(long, requires = "setup")]
    wpa2: bool,
    /// Draw it into a new SVG file, with the device's name below the code
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw it into a new PNG file
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) fn draw(args: &LabelDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    if args.setup { draw_setup(args, out) } else { draw_link(args, out) }
}

fn draw_link(args: &LabelDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    let links = links(&args.data.open()?, &args.id)?;
    note_pending(&args.id, &links);
    if args.has_files() {
        return args.write(&Label::new(&links.current, &args.id)?, "speak as");
    }
    // The code last: then all of it is on a screen of 24 lines.
    print_lines(&links.current, out)?;
    args.draw(&[&label::text(&links.current)], out)
}

fn draw_setup(args: &LabelDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    let key = args.data.open()?.device_key(&args.id)?;
    if let Some(links) = key.links() {
        note_pending(&args.id, links);
    }
    let secrets = SetupSecrets::derive(&args.id, &key);
    if args.has_files() {
        return args.write(&label::setup_label(&args.id, &secrets, args.wpa2)?, "set up");
    }
    let url = label::page_url(&secrets);
    writeln!(out, "page: {}", url.as_str())?;
    writeln!(out, "setup key: {}", label::key_digits(secrets.key()).as_str())?;
    if !args.wpa2 {
        return args.draw(&[&url], out);
    }
    writeln!(out, "network: {}", label::NETWORK)?;
    writeln!(out, "password: {}", secrets.access_point_password())?;
    writeln!(out, "Left: 1. join the device's network. Right: 2. open its configuration page.")?;
    args.draw(&[&label::wifi_code(&secrets), &url], out)
}

impl LabelDevice {
    fn has_files(&self) -> bool {
        self.svg.is_some() || self.png.is_some()
    }

    /// Draws codes for a terminal; where they do not fit one, says how to get them.
    fn draw(&self, texts: &[&str], out: &mut Output<'_>) -> anyhow::Result<()> {
        let (label, is_terminal) = (Label::screen(texts)?, std::io::stdout().is_terminal());
        if is_terminal && let Some(words) = label::misfit(&label) {
            let (id, data) = (&self.id, self.data.flags());
            let more = match (self.setup, self.wpa2) {
                (true, true) => " --setup --wpa2",
                (true, false) => " --setup",
                _ => "",
            };
            note!("{words} Into a file: vitalwire device label {id}{more} --svg {id}.svg{data}");
            return Ok(());
        }
        Ok(write!(out, "{}", label.terminal(is_terminal))?)
    }

    /// Writes the files; who reads them can do `what` to the device.
    fn write(&self, label: &Label, what: &str) -> anyhow::Result<()> {
        if let Some(path) = &self.svg {
            private_file::write_new(path, label.svg(self.id.as_str()).as_bytes())?;
        }
        if let Some(path) = &self.png {
            private_file::write_new(path, &label.png()?)?;
        }
        for path in self.svg.iter().chain(&self.png) {
            note!("Wrote {}. Who can read it can {what} {}.", path.display(), self.id);
        }
        Ok(())
    }
}
