//! The modem as the collector's network: what its errors mean for a person, and when it must be started.

use embedded_io_async::Write;

use super::Network;
use crate::clock::Clock;
use crate::modem::{ConnectError, JoinError, Modem, ModemError, Socket};
use crate::settings::Settings;
use crate::status::Trouble;

impl<'s, W: Write, C: Clock> Network for Modem<'s, W, C> {
    type Socket<'n>
        = Socket<'n, 's, W, C>
    where
        Self: 'n;

    async fn join(&self, settings: &Settings) -> Result<(), Trouble> {
        if !self.is_started() {
            self.start().await.map_err(|_| Trouble::Modem)?;
        }
        if self.is_joined() {
            return Ok(());
        }
        let (name, password) = (&settings.wifi_name, &settings.wifi_password);
        let mut joined = Modem::join(self, name, password).await;
        if matches!(joined, Err(JoinError::Modem(error)) if error != ModemError::Unsendable) {
            // It is confused, or restarted meanwhile.
            self.start().await.map_err(|_| Trouble::Modem)?;
            joined = Modem::join(self, name, password).await;
        }
        joined.map_err(|error| match error {
            JoinError::WrongPassword => Trouble::WifiPassword,
            // No modem of this kind can be told a name with a line end: for this device there is no such network.
            JoinError::NotFound | JoinError::Modem(ModemError::Unsendable) => Trouble::WifiNotFound,
            JoinError::TimedOut | JoinError::Failed => Trouble::Wifi,
            JoinError::Modem(_) => Trouble::Modem,
        })
    }

    async fn connect(&self, settings: &Settings) -> Result<Self::Socket<'_>, Trouble> {
        Modem::connect(self, &settings.server, settings.port).await.map_err(|error| match error {
            // The longest names of servers are longer than a command of the modem.
            ConnectError::NoSuchHost
            | ConnectError::Unreachable
            | ConnectError::Modem(ModemError::Unsendable) => Trouble::ServerUnreachable,
            ConnectError::NotJoined => Trouble::Wifi,
            ConnectError::Modem(_) => Trouble::Modem,
        })
    }

    async fn close(&self, socket: Self::Socket<'_>) {
        socket.close().await;
    }

    async fn lost(&self) {
        Modem::lost(self).await;
    }

    /// Whatever the trouble: a modem whose restart was not heard looks like a server that is away.
    async fn start_over(&self, _trouble: Trouble) {
        // When it fails, the next try to join starts it again.
        let _ = self.start().await;
    }
}
