//! Tells systemd how the service is, in the words of sd_notify(3): ready, alive, stopping. Where no one asked, nothing is said.

use std::ffi::OsStr;
use std::future::pending;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// How long the first word to the supervisor may take; for the later ones no one waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who started the program and wants to know how it is.
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// It restarts a service that was silent for so long.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = socket.and_then(|name| {
            let opened = open(&name);
            opened.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used")).ok()
        });
        let variable = |name| std::env::var(name).ok();
        let watchdog = watchdog(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self { socket, watchdog }
    }

    /// Devices and readers can connect.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
        // From here on the event loop has devices to serve, and a word that is lost is said again.
        if let Some(socket) = &self.socket {
            let _ = socket.set_nonblocking(true);
        }
    }

    /// The service stops, because it was asked to.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells for ever that the event loop turns, twice as often as it must be heard.
    pub(crate) async fn keep_alive(&self) {
        let Some(watchdog) = self.watchdog else { return pending().await };
        let mut ticks = interval(watchdog / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(words.as_bytes())
        {
            tracing::warn!(%error, "the supervisor does not listen");
        }
    }
}

fn open(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// How often the supervisor wants to hear of this process, if it does (sd_watchdog_enabled(3)).
fn watchdog(microseconds: Option<&str>, pid: Option<&str>, ours: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(ours));
    let microseconds = microseconds.filter(|_| is_ours)?.parse().ok()?;
    (microseconds > 1).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_is_for_the_process_that_it_names() {
        let half = Some(Duration::from_millis(500));
        assert_eq!(watchdog(Some("500000"), None, 7), half);
        assert_eq!(watchdog(Some("500000"), Some("7"), 7), half);
        assert_eq!(watchdog(Some("500000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("500000"), Some("x"), 7), None);
        for nothing in [None, Some(""), Some("0"), Some("1"), Some("-5"), Some("5s")] {
            assert_eq!(watchdog(nothing, None, 7), None, "{nothing:?}");
        }
    }

    #[test]
    fn both_kinds_of_socket_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("vitalwire-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (listener, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.as_os_str().to_owned()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}").into()),
        ] {
            let supervisor = Supervisor { socket: Some(open(&name).unwrap()), watchdog: None };
            supervisor.ready("all is well");
            let mut bytes = [0; 64];
            let len = listener.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], b"READY=1\nSTATUS=all is well");
        }
    }
}
