//! The desk device: the device crate whole, as the firmware runs it, on virtual hardware and a virtual modem whose
//! connections are real ones of this computer. A person sets it up in a browser and watches it collect, without hardware.
//!
//! It is one future, [`Desk::run`], that restarts the device as its switch and its saves say. [`DeskHandle`] is how it is seen
//! and changed from outside. It reads no key file: the identity is an argument.

mod boot;
mod flash;
mod handle;
mod surroundings;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use boot::Ended;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use handle::DeskEnd;
pub use handle::{DeliveredUnit, DeskHandle, DeskState};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vitalwire_device::flash::{FLASH_LEN, SharedFlash};
use vitalwire_device::identity::{Credentials, Identity, IdentityError};
use vitalwire_device::mode::Switch;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::Page;
use vitalwire_device::store::StoreError;

use crate::hardware::{HostClock, SimulatedFlash, Wearer};

/// Before a device that failed starts again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A flash that is shared by the parts of the device, all on one thread.
type Flash = SharedFlash<NoopRawMutex, SimulatedFlash>;

/// What a desk device is made of.
#[derive(Debug)]
pub struct DeskConfig {
    /// What provisioning wrote; `None`: it is in the flash file.
    pub identity: Option<Identity>,
    /// The flash file; `None`: what the device keeps is forgotten with it.
    pub flash: Option<PathBuf>,
    /// The configuration page.
    pub page: &'static Page,
    /// Where the page is served: an address of this computer that a browser will name. Port 0 is any.
    pub page_listen: SocketAddr,
    /// Where the slide switch is.
    pub switch: Switch,
    /// Settings, as if a person had saved them before.
    pub settings: Option<Settings>,
    /// The one password that networks take; `None`: they take what the person chose.
    pub wifi_password: Option<String>,
    /// Who wears it.
    pub wearer: Wearer,
    /// The world's clock, which the wearer's time is.
    pub world: HostClock,
}

/// Why there is no desk device.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DeskError {
    #[error("cannot use the flash file {}: {source}", path.display())]
    FlashFile { path: PathBuf, source: io::Error },
    /// What is in the identity's sector cannot be used.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error(
        "the device has no identity: `vitalwire device provision NAME --bin FILE` writes one, to be given by --identity"
    )]
    NoIdentity,
    #[error(
        "the flash file {} belongs to another device, or to this one with an earlier key; name another file, or remove it",
        path.display()
    )]
    OtherDevice { path: PathBuf },
    /// The flash cannot be written.
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("cannot serve the configuration page on {address}: {source}")]
    PageListen { address: SocketAddr, source: io::Error },
    /// Browsers could not name it.
    #[error(
        "the configuration page is served under one name only: give an address of this computer, not {address}"
    )]
    PageAddress { address: SocketAddr },
}

/// A desk device that does not run yet.
pub struct Desk {
    identity: Identity,
    flash: Flash,
    page: &'static Page,
    page_listen: SocketAddr,
    wifi_password: Option<String>,
    wearer: Wearer,
    world: HostClock,
    end: DeskEnd,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Desk {
    /// Assembles the device: the identity is in its flash afterwards, and the settings if there are some.
    ///
    /// # Errors
    /// See [`DeskError`].
    pub fn new(config: DeskConfig) -> Result<(Self, DeskHandle), DeskError> {
        let page_listen = page_address(config.page_listen)?;
        let mut flash = match &config.flash {
            None => SimulatedFlash::in_memory(FLASH_LEN),
            Some(path) => SimulatedFlash::in_file(path, FLASH_LEN)
                .map_err(|source| DeskError::FlashFile { path: path.clone(), source })?,
        };
        let path = config.flash.clone().unwrap_or_default();
        let identity = flash::identity(&mut flash, config.identity, &path)?;
        let flash = Mutex::new(std::cell::RefCell::new(flash));
        if let Some(settings) = &config.settings {
            flash::save_settings(&flash, settings)?;
        }
        let (handle, end) = handle::ends(config.world, config.wearer.clone(), config.switch);
        let desk = Self {
            identity,
            flash,
            page: config.page,
            page_listen,
            wifi_password: config.wifi_password,
            wearer: config.wearer,
            world: config.world,
            end,
        };
        Ok((desk, handle))
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What its values go out as.
    fn unit(&self) -> DeliveredUnit {
        match self.identity.credentials {
            Credentials::Link { .. } => DeliveredUnit::Batches,
            Credentials::Frames { .. } => DeliveredUnit::Bytes,
        }
    }

    /// Runs until `stop`; then what was not delivered is in its flash. Belongs on one thread.
    ///
    /// # Errors
    /// The flash cannot be used any more.
    pub async fn run(mut self, stop: CancellationToken) -> Result<DeskState, DeskError> {
        let mut saved_just_now = false;
        loop {
            match self.boot(saved_just_now, &stop).await? {
                Ended::Saved => saved_just_now = true,
                Ended::SwitchMoved => saved_just_now = false,
                Ended::Watchdog => {
                    saved_just_now = false;
                    // Whatever ails it must not keep this computer busy.
                    let _ = timeout(RESTART_PAUSE, stop.cancelled()).await;
                }
                Ended::Stopped => return Ok(self.end.state.borrow().clone()),
            }
        }
    }
}

/// The address with a port: one that is free now, where any would do.
fn page_address(address: SocketAddr) -> Result<SocketAddr, DeskError> {
    if address.ip().is_unspecified() {
        return Err(DeskError::PageAddress { address });
    }
    let listener = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    listener.map_err(|source| DeskError::PageListen { address, source })
}
