//! Brings what was measured to the server: joins the network, connects, delivers, and does it again after a pause when
//! something fails. It never gives up, and never needs a restart.
//!
//! What fails is a [`Trouble`]: the LED shows it at once, and it is kept for the configuration page. It measures nothing and
//! decides nothing about batches: see [`recorder`](crate::recorder) and [`session`](crate::session).

mod frames;
mod link;
mod over_modem;
#[cfg(test)]
mod tests;
mod troubles;

use core::cell::Cell;
use core::future::Future;

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
pub use frames::{NOT_MEASURED_MILLI, SAMPLE_LEN_MAX, write_sample};
use rand_core::CryptoRngCore;
pub use troubles::TroubleNews;
use troubles::Troubles;

use crate::backoff::{Backoff, BackoffLimits};
use crate::clock::{Clock, within};
use crate::flash::SECTOR_LEN;
use crate::identity::{Credentials, Identity};
use crate::outbox::OLDEST_LEN_MAX;
use crate::recorder::Shared;
use crate::session::SessionLimits;
use crate::settings::Settings;
use crate::status::{Activity, Status, Trouble};
use crate::tls::Buffers;

/// The profile of this device: its channels are those of the paper's.
pub const PROFILE: &str = "pico";
/// Joining or connecting that takes longer has failed, in milliseconds; the network has shorter limits of its own.
const STEP_MS_MAX: u64 = 120_000;
/// After so many failures in a row the network is joined again, though it says that it is there.
const FAILURES_MAX: u32 = 5;
/// The collector gives a sign of life so often, in milliseconds, and looks after the server's deadlines.
const WATCH_EVERY_MS: u64 = 2_000;
/// A courtesy to the server may take so long, in milliseconds.
const CLOSE_MS_MAX: u64 = 2_000;
/// Bytes of a message: of a batch that fills a sector, too, whichever firmware made it.
const MESSAGE_LEN: usize = SECTOR_LEN as usize + OLDEST_LEN_MAX;

/// A network: the modem, or what stands for it in a test.
///
/// Every future may be dropped at any time; what it began is then undone, or found by the next call.
pub trait Network {
    /// A connection, whose clones are used at once. Dropped or not, it ends with [`Self::close`].
    type Socket<'n>: Read + Write + Clone
    where
        Self: 'n;

    /// Joins the Wi-Fi network of these settings; at once if that is done already.
    fn join(&self, settings: &Settings) -> impl Future<Output = Result<(), Trouble>>;

    /// Connects to the server of these settings.
    fn connect(&self, settings: &Settings) -> impl Future<Output = Result<Self::Socket<'_>, Trouble>>;

    /// Ends a connection.
    fn close(&self, socket: Self::Socket<'_>) -> impl Future<Output = ()>;

    /// Ready when the Wi-Fi network is lost.
    fn lost(&self) -> impl Future<Output = ()>;

    /// Forgets what it thinks it has after this trouble, so that the next [`Self::join`] begins again.
    fn start_over(&self, trouble: Trouble) -> impl Future<Output = ()>;
}

/// The collector's buffers.
#[derive(Debug)]
pub struct Memory {
    tls: Buffers,
    message: [u8; MESSAGE_LEN],
}

impl Memory {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { tls: Buffers::new(), message: [0; MESSAGE_LEN] }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// How far the collector goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectorLimits {
    /// Waiting between tries.
    pub backoff: BackoffLimits,
    /// Within a connection.
    pub session: SessionLimits,
}

/// What the collector works with.
#[derive(Debug)]
pub struct Collector<'d, N, C, M: RawMutex, R, F> {
    /// The way to the server.
    pub network: &'d N,
    /// Where the server is.
    pub settings: &'d Settings,
    /// How the device proves itself.
    pub identity: &'d Identity,
    /// Version of the firmware.
    pub firmware: &'d str,
    /// What the recorder fills.
    pub shared: &'d Shared<M, R, F>,
    /// Where everyone sees how it goes.
    pub status: &'d Status<M>,
    /// The clock.
    pub clock: C,
    /// How far it goes.
    pub limits: CollectorLimits,
}

/// A connection that did its work: an earlier boot's batches are delivered.
struct Done;

/// What the parts of a connection share: who is told when the server takes values, and since when it does.
struct Delivering<'k, T> {
    troubles: &'k Troubles<T>,
    since_ms: Cell<Option<u64>>,
}

impl<N, C, M, R, F> Collector<'_, N, C, M, R, F>
where
    N: Network,
    C: Clock,
    M: RawMutex,
    R: AsRef<[u8]> + AsMut<[u8]>,
    F: NorFlash,
{
    /// Collects for ever. `tell` is told what is wrong, or that nothing is, and what of it should be kept for the configuration
    /// page.
    pub async fn run<G, T>(&self, rng: &mut G, memory: &mut Memory, tell: T) -> !
    where
        G: CryptoRngCore,
        T: FnMut(TroubleNews),
    {
        let troubles = Troubles::new(self.clock.now_ms(), tell);
        let (mut backoff, mut failures) = (Backoff::new(self.limits.backoff), 0);
        loop {
            let delivering = Delivering { troubles: &troubles, since_ms: Cell::new(None) };
            let ended = self.try_once(rng, memory, &delivering).await;
            self.shared.away_since(Some(self.clock.now_ms()));
            let lived_ms = delivering.since_ms.get().map_or(0, |since_ms| self.clock.now_ms() - since_ms);
            let Err(trouble) = ended else {
                (backoff, failures) = (Backoff::new(self.limits.backoff), 0);
                continue;
            };
            self.status.set_trouble(trouble);
            troubles.note(Some(trouble), self.clock.now_ms());
            troubles.keep(self.clock.now_ms());
            backoff.failed(lived_ms);
            failures = if lived_ms > 0 { 1 } else { failures + 1 };
            if trouble == Trouble::Modem || failures % FAILURES_MAX == 0 {
                let _ = self.step(self.network.start_over(trouble)).await;
            }
            self.pause(backoff.wait_ms(rng.next_u32()).into()).await;
        }
    }

    /// From joining to the end of the connection.
    async fn try_once<G, T>(
        &self,
        rng: &mut G,
        memory: &mut Memory,
        delivering: &Delivering<'_, T>,
    ) -> Result<Done, Trouble>
    where
        G: CryptoRngCore,
        T: FnMut(TroubleNews),
    {
        self.begin(Activity::Joining);
        self.step(self.network.join(self.settings)).await??;
        self.begin(Activity::Connecting);
        let socket = self.step(self.network.connect(self.settings)).await??;
        self.begin(Activity::Connecting);
        let ended = {
            let served = async {
                match &self.identity.credentials {
                    Credentials::Link { id, psk } => {
                        self.serve_link(socket.clone(), (id, psk), rng, memory, delivering).await
                    }
                    Credentials::Frames { key, iv } => {
                        self.serve_frames(socket.clone(), (key, iv), memory, delivering).await
                    }
                }
            };
            match select(self.network.lost(), served).await {
                Either::First(()) => Err(Trouble::Wifi),
                Either::Second(ended) => ended,
            }
        };
        self.begin(Activity::Connecting);
        // A network that cannot close now will not hold the connection against us.
        let _ = within(&self.clock, CLOSE_MS_MAX, self.network.close(socket)).await;
        ended
    }

    /// Waits for something that takes its time, with signs of life; it ends, or is dropped at its limit.
    async fn step<T>(&self, step: impl Future<Output = T>) -> Result<T, Trouble> {
        match select(step, self.pause(STEP_MS_MAX)).await {
            Either::First(ended) => Ok(ended),
            Either::Second(()) => Err(Trouble::Modem),
        }
    }

    /// Something new begins: that is a sign of life.
    fn begin(&self, activity: Activity) {
        self.status.set_activity(activity);
        self.shared.collector_lives(self.clock.now_ms());
    }

    /// The server takes values.
    fn delivers<T: FnMut(TroubleNews)>(&self, delivering: &Delivering<'_, T>) {
        if delivering.since_ms.get().is_none() {
            delivering.since_ms.set(Some(self.clock.now_ms()));
            self.shared.away_since(None);
            self.status.set_activity(Activity::Delivering);
            delivering.troubles.note(None, self.clock.now_ms());
        }
    }

    /// While connected, so often: a sign of life, and, once the server takes values, what is to be kept.
    fn live<T: FnMut(TroubleNews)>(&self, delivering: &Delivering<'_, T>) {
        self.shared.collector_lives(self.clock.now_ms());
        if delivering.since_ms.get().is_some() {
            delivering.troubles.keep(self.clock.now_ms());
        }
    }

    /// Waits, with signs of life.
    async fn pause(&self, ms: u64) {
        let end_us = self.clock.now_us().saturating_add(ms * 1_000);
        while self.clock.now_us() < end_us {
            self.shared.collector_lives(self.clock.now_ms());
            let wake_us = self.clock.now_us() + WATCH_EVERY_MS * 1_000;
            self.clock.wait_until_us(wake_us.min(end_us)).await;
        }
    }
}
