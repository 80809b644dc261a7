//! The commands that concern the modem and its network.

use core::ops::DerefMut;

use embedded_io_async::Write;
use heapless::{String, Vec};

use super::command::Part;
use super::core_state::Until;
use super::error::{JoinError, ModemError};
use super::exchange::{ANSWER_MS_MAX, About, Wire};
use super::{Modem, SEEN_MAX, SEND_LEN_MAX, SeenNetwork, Version};
use crate::clock::Clock;

/// How long `AT` may take, in milliseconds: a modem that is there answers at once.
const PRESENT_MS_MAX: u64 = 500;
/// Times `AT` is sent before something else is tried.
const PRESENT_TRIES_MAX: u32 = 3;
/// How long a restart may take, in milliseconds; it takes about a third of a second, and longer with old settings to apply.
const RESTART_MS_MAX: u64 = 5_000;
/// Times the modem is set up from the beginning, because it restarted or refused.
const START_TRIES_MAX: u32 = 3;
/// How long joining a network may take, in milliseconds. ESP-AT gives up after 15 s (`AT+CWJAP`, `<jap_timeout>`).
const JOIN_MS_MAX: u64 = 25_000;
/// How long a scan may take, in milliseconds: all channels, 120 to 360 ms each.
const SCAN_MS_MAX: u64 = 15_000;
/// `AT+CWMODE`: only a station.
const STATION: u8 = 1;
/// `AT+CWMODE`: a station and an access point, as only a station can scan.
const STATION_AND_ACCESS_POINT: u8 = 3;
/// The channel of the device's own network, one of the three that do not overlap.
const ACCESS_POINT_CHANNEL: usize = 6;

impl<W: Write, C: Clock> Modem<'_, W, C> {
    /// Finds the modem and sets it up; whatever was before, it then has no links and no network. Takes part of a second of
    /// a modem that is there, up to some 40 s of one that is busy or silent.
    ///
    /// # Errors
    /// It does not answer, or refuses even after a restart.
    pub async fn start(&self) -> Result<Version, ModemError> {
        let mut wire = self.wire.lock().await;
        let wire = wire.deref_mut();
        let mut ended = Err(ModemError::NotStarted);
        for _ in 0..START_TRIES_MAX {
            self.state.with(|core| core.forget());
            wire.about = About { next_link: wire.about.next_link, ..About::default() };
            ended = self.set_up(wire).await;
            match ended {
                // It had just been switched on.
                Err(ModemError::NotStarted) => {}
                // Links of before are open, or a command is not what it seemed.
                Err(ModemError::Refused { .. }) => self.restart(wire).await?,
                _ => break,
            }
        }
        if ended.is_ok() {
            self.state.with(|core| core.started = true);
        }
        ended
    }

    async fn set_up(&self, wire: &mut Wire<W>) -> Result<Version, ModemError> {
        self.find(wire).await?;
        self.plain(wire, "ATE0").await?;
        self.settle(wire).await?;
        let at = self.state.with(|core| core.exchange.facts.version.take()).unwrap_or_default();
        wire.about.stores = at.starts_with("1.");
        if !wire.about.stores {
            match self.plain(wire, "AT+SYSSTORE=0").await {
                // Between the two there were versions without either.
                Ok(()) | Err(ModemError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.set_mode(wire, STATION).await?;
        self.plain(wire, "AT+CIPMUX=1").await?;
        Ok(Version { at })
    }

    /// Makes it answer.
    async fn find(&self, wire: &mut Wire<W>) -> Result<(), ModemError> {
        match self.is_present(wire).await {
            Err(ModemError::Silent { .. }) => {}
            found => return found,
        }
        // It may wait for data that the device owed before it restarted itself.
        self.pay(wire, SEND_LEN_MAX).await?;
        match self.is_present(wire).await {
            Err(ModemError::Silent { .. }) => {}
            found => return found,
        }
        match self.restart(wire).await {
            Ok(()) | Err(ModemError::Silent { .. }) => self.is_present(wire).await,
            failed => failed,
        }
    }

    async fn is_present(&self, wire: &mut Wire<W>) -> Result<(), ModemError> {
        let mut ended = Ok(());
        for _ in 0..PRESENT_TRIES_MAX {
            let parts = [Part::Text("AT")];
            ended = match self.command(wire, "AT", &parts, Until::Ok, PRESENT_MS_MAX).await {
                Err(ModemError::Busy { .. }) => self.command_while_busy(wire, "AT", &parts, Until::Ok).await,
                ended => ended,
            };
            // An error is an answer, too: to what came before.
            match ended {
                Err(ModemError::Silent { .. } | ModemError::Refused { .. }) => {}
                _ => break,
            }
        }
        ended
    }

    async fn restart(&self, wire: &mut Wire<W>) -> Result<(), ModemError> {
        const NAME: &str = "AT+RST";
        self.command(wire, NAME, &[Part::Text(NAME)], Until::Ready, RESTART_MS_MAX).await
    }

    async fn plain(&self, wire: &mut Wire<W>, name: &'static str) -> Result<(), ModemError> {
        self.command(wire, name, &[Part::Text(name)], Until::Ok, ANSWER_MS_MAX).await
    }

    async fn set_mode(&self, wire: &mut Wire<W>, mode: u8) -> Result<(), ModemError> {
        const NAME: &str = "AT+CWMODE";
        if wire.about.mode != Some(mode) {
            wire.about.mode = None;
            let parts = [Part::Text(NAME), setting(wire), Part::Number(mode.into())];
            self.command(wire, NAME, &parts, Until::Ok, ANSWER_MS_MAX).await?;
            wire.about.mode = Some(mode);
        }
        Ok(())
    }

    /// Asks the modem whether it still is as it was set up. One whose `ready` was lost has a single link again: it counts as
    /// restarted from here on.
    ///
    /// # Errors
    /// It restarted, or does not answer.
    pub async fn check(&self) -> Result<(), ModemError> {
        const NAME: &str = "AT+CIPMUX";
        let mut wire = self.turn().await?;
        let parts = [Part::Text(NAME), Part::Text("?")];
        match self.command(&mut wire, NAME, &parts, Until::Ok, ANSWER_MS_MAX).await {
            // One that cannot say it, or not now, has answered all the same.
            Ok(()) | Err(ModemError::Refused { .. } | ModemError::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
        self.state.with(|core| {
            if core.exchange.facts.has_one_link {
                core.forget();
                return Err(ModemError::NotStarted);
            }
            Ok(())
        })
    }

    /// The networks in reach, in no order, those received best if there are too many. Hidden ones are not among them.
    ///
    /// # Errors
    /// See [`ModemError`].
    pub async fn scan(&self, networks: &mut Vec<SeenNetwork, SEEN_MAX>) -> Result<(), ModemError> {
        const NAME: &str = "AT+CWLAP";
        let mut wire = self.turn().await?;
        self.command(&mut wire, NAME, &[Part::Text(NAME)], Until::Ok, SCAN_MS_MAX).await?;
        *networks = self.state.with(|core| core::mem::take(&mut core.exchange.facts.networks));
        Ok(())
    }

    /// Opens the device's own network, with WPA2 if there is a password, for one station. Its address there is
    /// [`super::ACCESS_POINT_ADDRESS`].
    ///
    /// # Errors
    /// See [`ModemError`].
    pub async fn open_access_point(&self, name: &str, password: Option<&str>) -> Result<(), ModemError> {
        const NAME: &str = "AT+CWSAP";
        const STATIONS_MAX: usize = 1;
        let mut wire = self.turn().await?;
        self.set_mode(&mut wire, STATION_AND_ACCESS_POINT).await?;
        let parts = [
            Part::Text(NAME),
            setting(&wire),
            Part::Quoted(name.as_bytes()),
            Part::Text(","),
            Part::Quoted(password.unwrap_or_default().as_bytes()),
            Part::Text(","),
            Part::Number(ACCESS_POINT_CHANNEL),
            Part::Text(if password.is_some() { ",3," } else { ",0," }),
            Part::Number(STATIONS_MAX),
        ];
        self.command(&mut wire, NAME, &parts, Until::Ok, ANSWER_MS_MAX).await
    }

    /// Joins a network, and closes the device's own. An open network has an empty password.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, name: &[u8], password: &str) -> Result<(), JoinError> {
        const NAME: &str = "AT+CWJAP";
        let mut wire = self.turn().await?;
        self.set_mode(&mut wire, STATION).await?;
        self.state.with(|core| core.unjoin());
        let parts = [
            Part::Text(NAME),
            setting(&wire),
            Part::Quoted(name),
            Part::Text(","),
            Part::Quoted(password.as_bytes()),
        ];
        let joined = self.command(&mut wire, NAME, &parts, Until::Joined, JOIN_MS_MAX).await;
        let reason = self.state.with(|core| core.exchange.facts.not_joined);
        joined.map_err(|error| match (error, reason) {
            (ModemError::Refused { .. }, Some(1)) => JoinError::TimedOut,
            (ModemError::Refused { .. }, Some(2)) => JoinError::WrongPassword,
            (ModemError::Refused { .. }, Some(3)) => JoinError::NotFound,
            (ModemError::Refused { .. }, _) => JoinError::Failed,
            (error, _) => JoinError::Modem(error),
        })
    }

    /// Leaves the network.
    pub async fn leave(&self) {
        const NAME: &str = "AT+CWQAP";
        if let Ok(mut wire) = self.turn().await {
            // A modem that does not answer is not on a network either, as far as the device is concerned.
            let _left = self.plain(&mut wire, NAME).await;
        }
        self.state.with(|core| core.unjoin());
    }

    /// The modem's address on the network that it joined.
    ///
    /// # Errors
    /// See [`ModemError`].
    pub async fn address(&self) -> Result<String<15>, ModemError> {
        const NAME: &str = "AT+CIFSR";
        let mut wire = self.turn().await?;
        self.plain(&mut wire, NAME).await?;
        let address = self.state.with(|core| core.exchange.facts.address.take());
        address.filter(|address| address != "0.0.0.0").ok_or(ModemError::NoAddress)
    }
}

/// What follows the name of a command that would store what it sets.
fn setting<W>(wire: &Wire<W>) -> Part<'static> {
    Part::Text(if wire.about.stores { "_CUR=" } else { "=" })
}
