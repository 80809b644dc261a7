//! A device in Configuration Mode: its flash in memory, its sockets those of the runtime.

use rand_core::OsRng;
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::setup::{About, Page, Setup};
use vitalwire_device::status::Trouble;
use vitalwire_device::store::SettingsStore;

use crate::device::RuntimeClock;
use crate::flash::Flash;

/// Of the device that tests set up.
pub const SETUP_KEY: [u8; 16] = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";

/// The flash that the settings lie in.
pub type SettingsFlash = Flash<1, 4_096>;

/// What a device is before it serves.
pub struct Bench {
    page: Page,
    identity: Identity,
    store: SettingsStore<SettingsFlash>,
}

impl Bench {
    /// A device that was never set up and serves this page.
    pub fn new(page: Page) -> Self {
        let identity = Identity {
            name: "icu-07".try_into().expect("it is short"),
            setup_key: SETUP_KEY,
            seed: [0; 32],
            access_point_password: None,
            credentials: Credentials::Frames { key: [0; 16], iv: [0; 16] },
            tag: [0; 16],
        };
        let store = SettingsStore::new(SettingsFlash::new(4)).expect("it is large enough");
        Self { page, identity, store }
    }

    /// What the configuration server is made of, at these names.
    pub fn parts<'b>(
        &'b mut self,
        hosts: &'b [&'b str],
    ) -> (&'b mut SettingsStore<SettingsFlash>, About<'b>) {
        let about = About { page: &self.page, identity: &self.identity, firmware: "0.1.0", hosts };
        (&mut self.store, about)
    }

    /// The server of this device, at these names.
    pub fn server<'b>(&'b mut self, hosts: &'b [&'b str]) -> Setup<'b, SettingsFlash, RuntimeClock, OsRng> {
        let (store, about) = self.parts(hosts);
        Setup::new(about, store, Some(Trouble::WifiPassword), RuntimeClock::start(), OsRng)
    }
}
