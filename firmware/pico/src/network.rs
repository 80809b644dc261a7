//! The two duties of the thread: delivering, and being set up.

use static_cell::ConstStaticCell;
use vitalwire_device::collector::{Collector, CollectorLimits, Memory, TroubleNews};
use vitalwire_device::identity::Identity;
use vitalwire_device::modem::{self, ACCESS_POINT_ADDRESS};
use vitalwire_device::random::Drbg;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::{self, About};
use vitalwire_web::CONFIGURATION_PAGE;

use crate::VERSION;
use crate::clock::Clock;
use crate::life::NETWORK;
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
    static STATE: ConstStaticCell<modem::State> = ConstStaticCell::new(modem::State::new());
    modem::split(STATE.take(), hearing, speaking, clock)
}

/// Delivers what the recorder measures.
pub(crate) async fn collect(
    modem: &Modem,
    settings: &Settings,
    identity: &Identity,
    shared: &'static Shared,
    random: &mut Drbg,
    store: &mut Store,
) -> ! {
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    let collector = Collector {
        network: modem,
        settings,
        identity,
        firmware: VERSION,
        shared,
        status: &STATUS,
        clock: Clock::of(&NETWORK),
        limits: CollectorLimits::default(),
    };
    let tell = |news| match news {
        TroubleNews::Now(Some(trouble)) => log!("{}", trouble.text()),
        TroubleNews::Now(None) => log!("the server takes values"),
        TroubleNews::Keep(trouble) => {
            if let Err(error) = store.save_trouble(trouble) {
                log!("{error}");
            }
        }
    };
    collector.run(random, MEMORY.take(), tell).await
}

/// Serves the configuration page until settings are saved.
pub(crate) async fn configure(modem: &Modem, identity: &Identity, random: Drbg, store: &mut Store) {
    let about =
        About { page: &CONFIGURATION_PAGE, identity, firmware: VERSION, hosts: &[ACCESS_POINT_ADDRESS] };
    let _ = setup::configure(modem, store, about, Clock::of(&NETWORK), random, &STATUS).await;
}
