//! The two duties of the thread: delivering, and being set up.

use embassy_time::Timer;
use static_cell::StaticCell;
use vitalwire_device::identity::Identity;
use vitalwire_device::modem;
use vitalwire_device::random::Drbg;
use vitalwire_device::settings::Settings;
use vitalwire_device::status::Activity;

use crate::clock::Clock;
use crate::line::{Hearing, Speaking};
use crate::log::log;
use crate::memory::Store;
use crate::shared::{STATUS, Shared};

/// The modem, as the duties have it.
pub(crate) type Modem = modem::Modem<'static, Speaking, Clock>;
/// Its ear.
pub(crate) type Receiver = modem::Receiver<'static, Hearing>;

/// The modem on its line.
pub(crate) fn split((hearing, speaking): (Hearing, Speaking), clock: Clock) -> (Receiver, Modem) {
    static STATE: StaticCell<modem::State> = StaticCell::new();
    modem::split(STATE.init_with(modem::State::new), hearing, speaking, clock)
}

/// Delivers.
pub(crate) async fn collect(
    modem: &Modem,
    settings: &Settings,
    _identity: &Identity,
    _shared: &'static Shared,
    _random: &mut Drbg,
    _store: &mut Store,
) -> ! {
    STATUS.set_activity(Activity::Joining);
    loop {
        match modem.start().await {
            Ok(version) => log!("the modem is {}", version.at),
            Err(error) => log!("{error}"),
        }
        log!("{:?}", modem.join(&settings.wifi_name, &settings.wifi_password).await);
        Timer::after_secs(5).await;
    }
}

/// Serves the configuration page.
pub(crate) async fn configure(modem: &Modem, identity: &Identity, _random: &mut Drbg, _store: &mut Store) {
    STATUS.set_activity(Activity::Configuring);
    loop {
        match modem.start().await {
            Ok(version) => log!("the modem is {}", version.at),
            Err(error) => log!("{error}"),
        }
        let _ = identity;
        Timer::after_secs(5).await;
    }
}
