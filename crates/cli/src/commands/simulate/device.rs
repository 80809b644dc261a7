//! `vitalwire simulate device`: the desk device, told line by line. The setup key goes to standard output only.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;
use vitalwire_device::identity::Identity;
use vitalwire_device::mode::Mode;
use vitalwire_device::status::Activity;
use vitalwire_simulator::desk::{DeliveredUnit, Desk, DeskHandle, DeskState};

use super::desk::{DeskArgs, page_url, protocol_text};
use crate::label;
use crate::listen::is_loopback;
use crate::output::{Output, OutputError, even_if_closed, note};
use crate::signals::asked_to_stop;

const EXAMPLES: &str = "\
Examples:
  vitalwire device provision bed_07 --bin bed_07.bin --data ./data
  vitalwire simulate device --identity bed_07.bin --setup
  vitalwire simulate device --identity bed_07.bin --server 127.0.0.1:9998
  vitalwire simulate device --identity bed_07.bin --flash bed_07.flash

It runs the code of the real device: its configuration page, its modem driver,
its sensors' drivers and its collector, on virtual hardware; the connections
are real. The page lists some made-up Wi-Fi networks: choose any, with any
password of 8 characters or more; --wifi-password makes others wrong. The
page's address has the setup key behind #. Progress goes to standard error.
Ctrl-C stops the device; with --flash it remembers its settings and what was
not delivered. With --setup, open the printed address in a browser.";

/// Batches from one line about them to the next.
const TELL_EVERY: u64 = 10;
/// The same for bytes of frames.
const TELL_EVERY_BYTES: u64 = 100_000;

/// Arguments of `vitalwire simulate device`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeviceArgs {
    #[command(flatten)]
    desk: DeskArgs,
}

/// Runs `vitalwire simulate device`.
///
/// # Errors
/// The device cannot be made, or its flash fails.
pub(super) fn run(args: &DeviceArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let (desk, handle) = Desk::new(args.desk.config()?)?;
    args.desk.check(desk.identity())?;
    let identity = desk.identity().clone();
    note!("{} speaks {}", identity.name, protocol_text(&identity));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(async {
        let stop = CancellationToken::new();
        let device = desk.run(stop.clone());
        let beside = async {
            tokio::select! {
                told = tell(handle, &identity, out) => if let Err(error) = told {
                    note!("{error}");
                },
                () = asked_to_stop() => {}
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = device => end,
            () = beside => unreachable!("it never ends"),
        }
    })?;
    tell_end(&end, args.desk.flash.is_some());
    Ok(ExitCode::SUCCESS)
}

/// Tells each change, until the device has ended.
async fn tell(mut handle: DeskHandle, identity: &Identity, out: &mut Output<'_>) -> Result<(), OutputError> {
    let mut before = DeskState::default();
    while let Some(state) = handle.changed().await {
        if state.starts != before.starts {
            if before.mode == Mode::Configuration && before.starts > 0 && state.mode == Mode::Collector {
                note!("saved; the device restarts");
            }
            before = DeskState { starts: state.starts, mode: state.mode, ..DeskState::default() };
        }
        if let Some(page) = state.page.filter(|page| before.page != Some(*page)) {
            even_if_closed(tell_page(page, identity, out))?;
        }
        if let Some(line) = change(&before, &state) {
            note!("{line}");
        }
        before = state;
    }
    Ok(())
}

fn tell_page(page: SocketAddr, identity: &Identity, out: &mut Output<'_>) -> Result<(), OutputError> {
    let url = page_url(page, &identity.setup_key);
    writeln!(out, "page: {}", url.as_str())?;
    // A phone cannot open an address of this machine alone.
    if std::io::stdout().is_terminal() && !is_loopback(page.ip()) {
        label::draw_for_person(&[&url], out)?;
    }
    out.flush()?;
    note!("waiting for the page to be saved: open the address above, with what follows #");
    Ok(())
}

/// How often there was something to tell of what was delivered, and of what waits.
fn told_of(state: &DeskState) -> (u64, u64) {
    let every = match state.delivered_unit {
        DeliveredUnit::Batches => TELL_EVERY,
        DeliveredUnit::Bytes => TELL_EVERY_BYTES,
    };
    (state.delivered / every, state.held / TELL_EVERY)
}

/// What is to be said of a change, if anything.
fn change(before: &DeskState, state: &DeskState) -> Option<String> {
    let server = state.server.as_deref().unwrap_or("its server");
    let wifi = state.wifi_name.as_deref().unwrap_or("its network");
    if state.trouble.is_some() && state.trouble != before.trouble {
        return state.trouble.map(|trouble| format!("{}; it tries again", trouble.text()));
    }
    if state.activity != before.activity && state.trouble.is_none() {
        return match state.activity {
            Activity::Starting | Activity::Configuring => None,
            Activity::Joining => Some(format!("joining {wifi}")),
            Activity::Connecting => Some(format!("connecting to {server}")),
            Activity::Delivering => Some(format!("connected: {server} takes its values")),
        };
    }
    let ((delivered, held), (delivered_before, held_before)) = (told_of(state), told_of(before));
    (delivered > delivered_before || held > held_before)
        .then(|| format!("{} {} delivered, {} wait", state.delivered, state.delivered_unit, state.held))
}

fn tell_end(end: &DeskState, has_flash: bool) {
    let DeskState { delivered, delivered_unit, held, .. } = end;
    let held = match (*held, has_flash) {
        (0, _) => "nothing waits".to_owned(),
        (held, true) => format!("{held} batches wait in its flash"),
        (held, false) => format!("{held} batches are lost: --flash FILE keeps them"),
    };
    note!("stopped: {delivered} {delivered_unit} delivered since its last start, {held}");
}

#[cfg(test)]
mod tests {
    use vitalwire_device::status::Trouble;

    use super::*;

    fn state(activity: Activity, trouble: Option<Trouble>, delivered: u64) -> DeskState {
        DeskState {
            activity,
            trouble,
            delivered,
            server: Some("10.0.0.1:9998".to_owned()),
            wifi_name: Some("Ward 3".to_owned()),
            ..DeskState::default()
        }
    }

    #[test]
    fn each_step_is_told_once() {
        let steps = [
            (state(Activity::Starting, None, 0), None),
            (state(Activity::Joining, None, 0), Some("joining Ward 3")),
            (
                state(Activity::Joining, Some(Trouble::WifiPassword), 0),
                Some("The Wi-Fi network refused the password; it tries again"),
            ),
            (state(Activity::Connecting, Some(Trouble::WifiPassword), 0), None),
            (state(Activity::Delivering, None, 0), Some("connected: 10.0.0.1:9998 takes its values")),
            (state(Activity::Delivering, None, 9), None),
            (state(Activity::Delivering, None, 10), Some("10 batches delivered, 0 wait")),
        ];
        for pair in steps.windows(2) {
            let [(before, _), (now, expected)] = pair else { unreachable!() };
            assert_eq!(change(before, now).as_deref(), *expected, "{now:?}");
        }
    }
}
