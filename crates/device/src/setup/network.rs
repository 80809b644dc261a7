//! Configuration Mode over the modem: the device's own network, its page, and its answers to names. It ends with settings
//! that are saved, and with nothing else: whatever the modem does, it begins again.

use core::cmp::Reverse;
use core::future::pending;

use embassy_futures::select::{Either3, select_array, select3};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::Write;
use embedded_storage::nor_flash::NorFlash;
use heapless::Vec;
use rand_core::CryptoRngCore;

use super::{About, PORT, Setup, dns};
use crate::clock::{Clock, within};
use crate::modem::{Modem, ModemError};
use crate::settings::Settings;
use crate::status::{Activity, Status, Trouble};
use crate::store::SettingsStore;

/// The name of a device's own network.
pub const NETWORK_NAME: &str = "Med_IoT";
/// The modem's address there.
const ADDRESS: [u8; 4] = [192, 168, 4, 1];
/// Connections that are served at once; a browser opens several. The modem has two links more: one for names, and one for
/// the next browser, which waits.
const CONNECTIONS_MAX: usize = 3;
/// How long closing a connection may take, in milliseconds.
const CLOSE_MS_MAX: u64 = 2_000;
/// Before a modem that failed is started again, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// The modem is asked so often whether it still is as it was set up, in milliseconds.
const CHECK_EVERY_MS: u64 = 20_000;
/// Questions in a row without an answer, or with a wrong one: one may be lost, and the page must not go for that.
const CHECK_FAILURES_MAX: u32 = 2;
/// After a save, in milliseconds: what the modem took to send is on its way to the phone.
const SAVED_MS: u64 = 500;

/// Opens the device's network and serves the configuration page there until settings are saved. Their answer has gone out
/// when it returns; the device should restart then. If it is dropped, settings may have been saved all the same.
pub async fn configure<W: Write, C: Clock, F: NorFlash, R: CryptoRngCore, M: RawMutex>(
    modem: &Modem<'_, W, C>,
    store: &mut SettingsStore<F>,
    about: About<'_>,
    clock: C,
    rng: R,
    status: &Status<M>,
) -> Settings {
    let password = about.identity.access_point_password.as_deref();
    let trouble = store.trouble();
    let setup = Setup::new(about, store, trouble, clock.clone(), rng);
    loop {
        match setup.open(modem, password).await {
            Ok(()) => {
                status.set_activity(Activity::Configuring);
                setup.serve(modem).await;
            }
            Err(_) => {
                // No one can see a page: the LED says it.
                status.set_activity(Activity::Starting);
                status.set_trouble(Trouble::Modem);
            }
        }
        if let Some(settings) = setup.saved() {
            clock.wait_ms(SAVED_MS).await;
            return settings;
        }
        clock.wait_ms(RETRY_MS).await;
    }
}

impl<F: NorFlash, C: Clock, R: CryptoRngCore> Setup<'_, F, C, R> {
    /// Starts the modem, looks for networks, and opens the device's own.
    async fn open<W: Write>(
        &self,
        modem: &Modem<'_, W, C>,
        password: Option<&str>,
    ) -> Result<(), ModemError> {
        modem.start().await?;
        let mut seen = Vec::new();
        // Once, before the device's own network is there: a scan goes through all channels, and a phone on that network
        // would lose it. Without networks, the page asks for a name.
        let _ = modem.scan(&mut seen).await;
        seen.sort_unstable_by_key(|network| Reverse(network.rssi_dbm));
        for network in &seen {
            self.list_network(&network.name, network.rssi_dbm, network.secured);
        }
        modem.open_access_point(NETWORK_NAME, password).await?;
        modem.listen(PORT).await
    }

    /// Serves until settings are saved, or the modem fails.
    async fn serve<W: Write>(&self, modem: &Modem<'_, W, C>) {
        let connections = [(); CONNECTIONS_MAX].map(|()| self.serve_connections(modem));
        match select3(select_array(connections), answer_names(modem), self.watch(modem)).await {
            Either3::First(_) | Either3::Third(()) => {}
            Either3::Second(never) => match never {},
        }
    }

    /// Returns when the modem does not answer, or restarted and no one heard it: it would wait for no one, and say nothing.
    async fn watch<W: Write>(&self, modem: &Modem<'_, W, C>) {
        let mut failures = 0;
        while failures < CHECK_FAILURES_MAX {
            if failures == 0 {
                self.clock.wait_ms(CHECK_EVERY_MS).await;
            }
            failures = if modem.check().await.is_ok() { 0 } else { failures + 1 };
        }
    }

    async fn serve_connections<W: Write>(&self, modem: &Modem<'_, W, C>) {
        while let Ok(mut socket) = modem.accept().await {
            let saved = self.serve_connection(&mut socket).await;
            let _ = within(&self.clock, CLOSE_MS_MAX, socket.close()).await;
            if saved.is_some() {
                return;
            }
        }
    }
}

/// Answers every name with the device's address. Without it the page is found by its address all the same.
async fn answer_names<W: Write, C: Clock>(modem: &Modem<'_, W, C>) -> core::convert::Infallible {
    let mut query = [0; dns::MESSAGE_LEN_MAX];
    let mut answer = [0; dns::MESSAGE_LEN_MAX];
    if let Ok(mut datagrams) = modem.open_datagrams(dns::PORT).await {
        while let Ok(len) = datagrams.receive(&mut query).await {
            let query = query.get(..len).unwrap_or_default();
            let Some(len) = dns::answer(query, ADDRESS, &mut answer) else { continue };
            if datagrams.reply(answer.get(..len).unwrap_or_default()).await.is_err() {
                break;
            }
        }
    }
    // The modem restarted, which ends all connections too; or it has no link for names.
    pending().await
}
