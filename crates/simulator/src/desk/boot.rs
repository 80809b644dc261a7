//! One start of the desk device, to its next: what the firmware's tasks do, here the branches of one future.

use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use rand::TryRng;
use rand::rngs::SysRng;
use rand_core::RngCore;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use vitalwire_device::clock::Clock as _;
use vitalwire_device::collector::{self, Collector, CollectorLimits, TroubleNews};
use vitalwire_device::flash::{OUTBOX, Partition};
use vitalwire_device::mode::{self, Mode};
use vitalwire_device::modem;
use vitalwire_device::outbox::Outbox;
use vitalwire_device::ownership::claim;
use vitalwire_device::random::{Drbg, Entropy, SEED_LEN};
use vitalwire_device::recorder::{self, FINISH_MS_MAX, Plan, Shared, record};
use vitalwire_device::sensors::{Readings, watch_movement, watch_temperature};
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::{self, About};
use vitalwire_device::store::SettingsStore;
use vitalwire_device::{led, status};
use zeroize::Zeroizing;

use super::handle::SCOPE_EVERY_MS;
use super::surroundings::{hosts, networks, surroundings};
use super::{DeliveredUnit, Desk, DeskError, flash};
use crate::hardware::{HostClock, SimulatedFlash, VirtualAdc, VirtualDs18b20, VirtualMpu6050};
use crate::modem::{Control, line, modem};

const FIRMWARE: &str = concat!("desk ", env!("CARGO_PKG_VERSION"));
/// Bytes of memory for batches that are not acknowledged, as the firmware has.
const OUTBOX_MEMORY_LEN: usize = 16 * 1024;

type Store<'f> = SettingsStore<Partition<'f, NoopRawMutex, SimulatedFlash>>;
type Status = status::Status<NoopRawMutex>;
type DeskShared<'f> = Shared<NoopRawMutex, Vec<u8>, Partition<'f, NoopRawMutex, SimulatedFlash>>;
type DeskModem<'s> = modem::Modem<'s, crate::modem::LineWriter, HostClock>;

/// Why a start is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Settings were saved: it restarts and collects.
    Saved,
    /// The switch was moved.
    SwitchMoved,
    /// It gave no sign of life.
    Watchdog,
    /// It is switched off.
    Stopped,
}

impl Desk {
    /// From a start to its end.
    pub(super) async fn boot(
        &mut self,
        saved_just_now: bool,
        stop: &CancellationToken,
    ) -> Result<Ended, DeskError> {
        let clock = HostClock::start();
        let mut store = flash::store(&self.flash)?;
        let settings = store.load();
        let mode = mode::choose(*self.end.switch.borrow_and_update(), settings.as_ref(), saved_just_now);
        let mut rng = random_source(&mut store, &self.identity.seed, clock)?;
        if mode == Mode::Collector {
            claim(&self.identity, &mut store, &mut Partition::new(&self.flash, OUTBOX))?;
        }
        self.show_start(mode, settings.as_ref());

        let in_reach = networks(settings.as_ref(), self.wifi_password.as_deref());
        let (virtual_modem, control) = modem(surroundings(in_reach.clone(), self.page_listen));
        let (reader, writer, far_end) = line();
        let mut state = Box::new(modem::State::new());
        let (mut receiver, modem) = modem::split(&mut state, reader, writer, clock);
        let status = Status::new();
        let work = async {
            match (mode, &settings) {
                (Mode::Collector, Some(settings)) => {
                    self.collect(&modem, settings, &mut store, &mut rng, &status, &control, clock, stop).await
                }
                _ => tokio::select! {
                    biased;
                    ended = self.told_to_end(stop) => ended,
                    ended = self.configure(&modem, &mut store, &mut rng, &status, clock) => ended,
                },
            }
        };
        tokio::select! {
            biased;
            ended = work => Ok(ended),
            _ = virtual_modem.run(far_end) => Ok(Ended::Watchdog),
            () = async { loop { receiver.run().await; } } => Ok(Ended::Watchdog),
            () = self.blink(&status, clock) => Ok(Ended::Watchdog),
            () = self.show_page(&control) => Ok(Ended::Watchdog),
            () = self.follow_network(&control, in_reach) => Ok(Ended::Watchdog),
        }
    }

    /// Ready when the device is switched off or its switch is moved.
    async fn told_to_end(&self, stop: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Stopped,
            () = moved(self.end.switch.clone()) => Ended::SwitchMoved,
        }
    }

    fn show_start(&self, mode: Mode, settings: Option<&Settings>) {
        self.end.state.send_modify(|state| {
            (state.mode, state.activity, state.trouble) = (mode, status::Activity::Starting, None);
            state.server = settings.map(|settings| format!("{}:{}", settings.server, settings.port));
            state.wifi_name =
                settings.map(|settings| String::from_utf8_lossy(&settings.wifi_name).into_owned());
            (state.page, state.starts) = (None, state.starts + 1);
            // What waits goes on waiting.
            (state.delivered, state.missed_values) = (0, 0);
            state.delivered_unit = self.unit();
        });
    }

    /// Configuration Mode.
    async fn configure(
        &self,
        modem: &DeskModem<'_>,
        store: &mut Store<'_>,
        rng: &mut Drbg,
        status: &Status,
        clock: HostClock,
    ) -> Ended {
        let hosts = hosts(self.page_listen);
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let about = About { page: self.page, identity: &self.identity, firmware: FIRMWARE, hosts: &hosts };
        setup::configure(modem, store, about, clock, rng, status).await;
        Ended::Saved
    }

    /// Data Collector Mode.
    #[expect(clippy::too_many_arguments, reason = "what the firmware has as statics")]
    async fn collect(
        &self,
        modem: &DeskModem<'_>,
        settings: &Settings,
        store: &mut Store<'_>,
        rng: &mut Drbg,
        status: &Status,
        control: &Control,
        clock: HostClock,
        stop: &CancellationToken,
    ) -> Ended {
        let outbox =
            Outbox::mount(rng.next_u64(), vec![0; OUTBOX_MEMORY_LEN], Partition::new(&self.flash, OUTBOX));
        let held_before = outbox.held();
        let shared = DeskShared::new(outbox, clock.now_ms());
        // Batches must not be lost with the future: it is dropped when the device restarts or stops.
        let shared = SavedAtEnd(&shared);
        let readings = Readings::<NoopRawMutex>::new();
        let parts = (
            VirtualMpu6050::new(self.world, self.wearer.clone()),
            VirtualDs18b20::new(self.world, self.wearer.clone()),
            VirtualAdc::new(self.world, self.wearer.clone()),
        );
        let mut memory = (Box::new(recorder::Memory::new()), Box::new(collector::Memory::new()));
        let collector = Collector {
            network: modem,
            settings,
            identity: &self.identity,
            firmware: FIRMWARE,
            shared: shared.0,
            status,
            clock,
            limits: CollectorLimits::default(),
        };
        let tell = |news| {
            if let TroubleNews::Keep(trouble) = news {
                // The page would not say it; nothing else depends on it.
                let _ = store.save_trouble(trouble);
            }
        };
        let plan = Plan::of(&self.identity.credentials);
        let count = || self.count(shared.0, control, held_before);
        let ended = tokio::select! {
            never = watch_movement(parts.0, clock, &readings) => match never {},
            never = watch_temperature(parts.1, clock, &readings) => match never {},
            _ = record(parts.2, clock, &readings, shared.0, plan, &mut memory.0) => Ended::Watchdog,
            never = collector.run(rng, &mut memory.1, tell) => match never {},
            () = watch_life(shared.0, count, clock) => Ended::Watchdog,
            ended = self.finish(shared.0, stop) => ended,
        };
        count();
        ended
    }

    /// Ready when the device is told to end, and has put the batch under way into its outbox.
    async fn finish(&self, shared: &DeskShared<'_>, stop: &CancellationToken) -> Ended {
        let ended = self.told_to_end(stop).await;
        // A recorder that hangs does not keep the device from its end.
        let _ = timeout(Duration::from_millis(FINISH_MS_MAX), shared.finish()).await;
        ended
    }

    /// Shows what was delivered.
    fn count(&self, shared: &DeskShared<'_>, control: &Control, held_before: u64) {
        let (held, acknowledged) = shared.with_outbox(|outbox| {
            let made = held_before + outbox.next_sequence() - 1;
            (outbox.held(), made.saturating_sub(outbox.held() + outbox.dropped()))
        });
        let delivered = match self.unit() {
            DeliveredUnit::Batches => acknowledged,
            DeliveredUnit::Bytes => control.status().sent_len,
        };
        let missed = shared.missed_values();
        self.end.state.send_if_modified(|state| {
            let now = (delivered, held, missed);
            let before = (state.delivered, state.held, state.missed_values);
            (state.delivered, state.held, state.missed_values) = now;
            before != now
        });
    }

    /// The LED, and the oscilloscope.
    async fn blink(&self, status: &Status, clock: HostClock) {
        let mut ticks = ticks(SCOPE_EVERY_MS);
        loop {
            ticks.tick().await;
            if !self.wearer.is_unplugged(crate::hardware::Sensor::Pulse) {
                let seconds = self.world.seconds();
                self.end.scope.push(seconds, self.wearer.pulse_volts(seconds));
            }
            let (activity, trouble) = (status.activity(), status.trouble());
            let is_lit = led::is_lit(activity, trouble, clock.now_ms());
            self.end.state.send_if_modified(|state| {
                let before = (state.activity, state.trouble, state.is_lit);
                (state.activity, state.trouble, state.is_lit) = (activity, trouble, is_lit);
                before != (activity, trouble, is_lit)
            });
        }
    }

    /// Tells where the page is as soon as it is served.
    async fn show_page(&self, control: &Control) {
        if let Some(modem) = control.status_when(|modem| modem.tcp.is_some()).await {
            self.end.state.send_modify(|state| state.page = modem.tcp.map(|(_, address)| address));
        }
        std::future::pending::<()>().await;
    }

    /// Takes the networks away and gives them back.
    async fn follow_network(&self, control: &Control, in_reach: Vec<crate::modem::Network>) {
        let mut network = self.end.network.clone();
        network.mark_changed();
        loop {
            changed(&mut network).await;
            let is_there = *network.borrow_and_update();
            control.set_networks(if is_there { in_reach.clone() } else { Vec::new() }).await;
        }
    }
}

/// Ready when the switch was moved.
async fn moved(mut switch: watch::Receiver<mode::Switch>) {
    changed(&mut switch).await;
}

/// Ready when it was changed: never, if no one can.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Counts, and returns when the device shows no life: the watchdog.
async fn watch_life(shared: &DeskShared<'_>, count: impl Fn(), clock: HostClock) {
    let mut ticks = ticks(led::TICK_MS);
    while shared.is_alive(clock.now_ms()) {
        ticks.tick().await;
        count();
    }
}

/// Keeps what was not delivered when the device ends, however that comes.
struct SavedAtEnd<'s, 'f>(&'s DeskShared<'f>);

impl Drop for SavedAtEnd<'_, '_> {
    fn drop(&mut self) {
        self.0.save();
    }
}

/// The device's random source; its next seed is kept before it is used.
fn random_source(
    store: &mut Store<'_>,
    identity: &[u8; SEED_LEN],
    clock: HostClock,
) -> Result<Drbg, DeskError> {
    let mut sampled = Zeroizing::new([0; SEED_LEN]);
    // The system's random source stands for the ring oscillator. Without it the seeds still differ from start to start.
    let _ = SysRng.try_fill_bytes(sampled.as_mut_slice());
    let stored = store.seed().map(Zeroizing::new);
    let mut rng = Drbg::new(&Entropy {
        identity,
        stored: stored.as_deref(),
        sampled: sampled.as_slice(),
        boot_us: clock.now_us(),
    });
    let next = Zeroizing::new(rng.next_seed());
    store.save_seed(&next)?;
    Ok(rng)
}

fn ticks(every_ms: u64) -> tokio::time::Interval {
    let mut ticks = interval(Duration::from_millis(every_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
