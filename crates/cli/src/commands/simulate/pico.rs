//! `vitalwire simulate pico`: its arguments, and the thread of its device. What it shows is in [`crate::pico`].

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;
use vitalwire_simulator::desk::{Desk, DeskConfig, DeskHandle, DeskState};

use super::desk::{DeskArgs, page_url, protocol_text};
use crate::output::Output;
use crate::pico::{self, About};
use crate::signals::asked_to_stop;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  vitalwire device provision bed_07 --bin bed_07.bin --data ./data
  vitalwire simulate pico --identity bed_07.bin --server 127.0.0.1:9998
  vitalwire simulate pico --identity bed_07.bin --server ward:9998 --seed 7
  vitalwire simulate pico --identity bed_07.bin --setup

Keys (the numbers are the choices of the paper's pseudo pico):
   1  2  raise, lower the patient's temperature by 0.5 °C
   3  4  the microcontroller's
   5  6  the motion sensor's
   7  8  the acceleration along x by 0.1 g, within ±1
   9 10  along y
  11 12  along z
  ↑ ↓    choose a value; ← → (or - +) change it, the heart rate too
  a      arrhythmia: irregular beats
  t p m  unplug thermometer, pulse sensor, motion sensor
  n      the network goes and comes
  s      the mode switch: configuration, collector
  q      stop

It is the device of `vitalwire simulate device`, on the whole screen.";

/// Arguments of `vitalwire simulate pico`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PicoArgs {
    #[command(flatten)]
    desk: DeskArgs,
}

/// What the device's thread tells before it runs.
struct Made {
    handle: DeskHandle,
    about: About,
}

/// Runs `vitalwire simulate pico`.
///
/// # Errors
/// There is no terminal, the device cannot be made, or its flash fails.
pub(super) fn run(args: &PicoArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    if !terminal::is_interactive() {
        bail!(
            "`simulate pico` needs a terminal to draw on; `vitalwire simulate device` is the same device, told in lines"
        );
    }
    let config = args.desk.config()?;
    if let Some(identity) = &config.identity {
        args.desk.check(identity)?;
    }
    let stop = CancellationToken::new();
    // One message: the device is made, or it never will be.
    let (made_in, made) = mpsc::sync_channel(1);
    let device = {
        let stop = stop.clone();
        thread::Builder::new().name("device".to_owned()).spawn(move || run_device(config, &made_in, stop))?
    };
    let shown = match made.recv() {
        Ok(Made { handle, about }) => pico::show(&handle, &about, || device.is_finished()),
        // It failed before: its error is below.
        Err(_) => Ok(()),
    };
    stop.cancel();
    let ended = device.join().map_err(|_| anyhow::anyhow!("the device's thread panicked"))?;
    shown?;
    let DeskState { delivered, delivered_unit, held, .. } = ended?;
    writeln!(out, "{delivered} {delivered_unit} delivered since its last start, {held} batches wait")?;
    Ok(ExitCode::SUCCESS)
}

/// The device belongs to one thread from its first moment.
fn run_device(
    config: DeskConfig,
    made: &mpsc::SyncSender<Made>,
    stop: CancellationToken,
) -> anyhow::Result<DeskState> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (desk, handle) = Desk::new(config)?;
    let identity = desk.identity();
    let setup_key = identity.setup_key;
    let about = About {
        name: identity.name.to_string(),
        protocol: protocol_text(identity),
        page_url: Box::new(move |page| page_url(page, &setup_key).to_string()),
    };
    made.send(Made { handle, about }).ok().context("no one looks")?;
    let ended = runtime.block_on(async {
        let device = desk.run(stop.clone());
        tokio::pin!(device);
        tokio::select! {
            ended = &mut device => ended,
            () = asked_to_stop() => {
                stop.cancel();
                device.await
            }
        }
    });
    Ok(ended?)
}
