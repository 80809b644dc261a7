//! The firmware's recorder and collector over real sockets: what was measured arrives, once, in order, whatever the network
//! does; what fails has its name.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_io::{ErrorKind, ErrorType};
use embedded_io_async::{Read, Write};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use vitalwire_device::backoff::BackoffLimits;
use vitalwire_device::clock::Clock;
use vitalwire_device::collector::{self, Collector, CollectorLimits, Network, TroubleNews};
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::outbox::Outbox;
use vitalwire_device::random::{Drbg, Entropy};
use vitalwire_device::recorder::{self, Plan, Shared, record};
use vitalwire_device::sensors::{Adc, AdcInput, Readings, pulse_millivolts};
use vitalwire_device::settings::Settings;
use vitalwire_device::status::{Activity, Status, Trouble};
use vitalwire_protocol::batch::{encode_ack, encode_configure, event_code};
use vitalwire_simulator::hardware::SimulatedFlash;

use crate::proxy::Proxy;
use crate::server::{Journal, Manner, Server, written};
use crate::{PATIENCE, key, keys};

pub(crate) const SERVER: &str = "vitalwire.example";
pub(crate) const PORT: u16 = 9_998;
pub(crate) const WIFI_NAME: &[u8] = b"Ward 3, \xff";
pub(crate) const WIFI_PASSWORD: &str = "correct, horse \\ \"battery\"";

#[derive(Clone, Copy)]
pub(crate) struct HostClock(Instant);

impl Clock for HostClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap()
    }

    async fn wait_until_us(&self, at_us: u64) {
        sleep_until(self.0 + Duration::from_micros(at_us)).await;
    }
}

/// A pulse that counts, so that a value that is lost, repeated or out of place shows.
#[derive(Clone, Default)]
struct CountingAdc(Rc<Cell<u16>>);

impl Adc for CountingAdc {
    async fn read(&mut self, input: AdcInput) -> Option<u16> {
        match input {
            AdcInput::Pulse => Some(self.0.replace(self.0.get() + 1) % 4_096),
            AdcInput::McuTemperature => Some(876),
        }
    }
}

#[derive(Clone)]
struct Socket(Arc<TcpStream>);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            self.0.readable().await.map_err(|error| ErrorKind::from(error.kind()))?;
            match self.0.try_read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map_err(|error| error.kind().into()),
            }
        }
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        loop {
            self.0.writable().await.map_err(|error| ErrorKind::from(error.kind()))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written.map_err(|error| error.kind().into()),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

struct TcpNetwork {
    server: Cell<SocketAddr>,
    is_there: watch::Sender<bool>,
}

impl Network for TcpNetwork {
    type Socket<'n> = Socket;

    async fn join(&self, _settings: &Settings) -> Result<(), Trouble> {
        if *self.is_there.borrow() { Ok(()) } else { Err(Trouble::WifiNotFound) }
    }

    async fn connect(&self, _settings: &Settings) -> Result<Socket, Trouble> {
        let stream = TcpStream::connect(self.server.get()).await.map_err(|_| Trouble::ServerUnreachable)?;
        stream.set_nodelay(true).unwrap();
        Ok(Socket(Arc::new(stream)))
    }

    async fn close(&self, _socket: Self::Socket<'_>) {}

    async fn lost(&self) {
        self.is_there.subscribe().wait_for(|is_there| !is_there).await.unwrap();
    }

    async fn start_over(&self, _trouble: Trouble) {}
}

/// One boot of a device.
pub(crate) struct Device<N> {
    pub(crate) clock: HostClock,
    pub(crate) network: N,
    pub(crate) shared: Shared<NoopRawMutex, Vec<u8>, SimulatedFlash>,
    pub(crate) status: Status<NoopRawMutex>,
    /// What was told of troubles; says when it is something else.
    told: watch::Sender<Vec<Option<Trouble>>>,
    readings: Readings<NoopRawMutex>,
    measured: CountingAdc,
}

impl HostClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Device<TcpNetwork> {
    fn over_tcp(boot: u64, server: SocketAddr, flash: SimulatedFlash) -> Self {
        let network = TcpNetwork { server: Cell::new(server), is_there: watch::Sender::new(true) };
        Self::new(boot, HostClock::start(), network, flash)
    }
}

impl<N: Network> Device<N> {
    pub(crate) fn new(boot: u64, clock: HostClock, network: N, flash: SimulatedFlash) -> Self {
        Self {
            clock,
            network,
            shared: Shared::new(Outbox::mount(boot, vec![0; 16_384], flash), 0),
            status: Status::new(),
            told: watch::Sender::default(),
            readings: Readings::new(),
            measured: CountingAdc::default(),
        }
    }

    /// Records and collects as device 0 with this key until `story` ends.
    pub(crate) async fn run(&self, psk: [u8; 32], story: impl Future<Output = ()>) {
        let settings = Settings {
            server: heapless::String::try_from(SERVER).unwrap(),
            port: PORT,
            wifi_name: heapless::Vec::from_slice(WIFI_NAME).unwrap(),
            wifi_password: heapless::String::try_from(WIFI_PASSWORD).unwrap(),
        };
        let id = key(0).0.into_bytes().try_into().unwrap();
        let identity = Identity {
            name: heapless::String::new(),
            setup_key: [0; 16],
            seed: [0; 32],
            access_point_password: None,
            credentials: Credentials::Link { id, psk },
            tag: [0; 16],
        };
        let backoff = BackoffLimits { retry_ms_min: 1, retry_ms_max: 20, settled_ms: 60_000 };
        let collector = Collector {
            network: &self.network,
            settings: &settings,
            identity: &identity,
            firmware: "1.0.0",
            shared: &self.shared,
            status: &self.status,
            clock: self.clock,
            limits: CollectorLimits { backoff, ..CollectorLimits::default() },
        };
        // 10 ms leave a slow machine 5 ms; what it misses is a gap and no fault.
        let plan = Plan { pulse_interval_us: 10_000, batch_ms: 100, ..Plan::BATCHES };
        let entropy =
            Entropy { identity: &[1; 32], stored: None, sampled: &rand::random::<[u8; 32]>(), boot_us: 0 };
        let mut rng = Drbg::new(&entropy);
        let mut memories = (Box::new(collector::Memory::new()), Box::new(recorder::Memory::new()));
        let adc = self.measured.clone();
        let recording = record(adc, self.clock, &self.readings, &self.shared, plan, &mut memories.1);
        let tell = |news| {
            let TroubleNews::Now(trouble) = news else { return };
            self.told.send_if_modified(|told| {
                let is_new = told.last() != Some(&trouble);
                told.push(trouble);
                is_new
            });
        };
        let collecting = collector.run(&mut rng, &mut memories.0, tell);
        tokio::select! {
            () = async { timeout(PATIENCE, story).await.expect("the story comes to its end") } => {}
            error = recording => panic!("{error}"),
            _ = collecting => {}
        }
    }

    /// Waits for this to be told.
    pub(crate) async fn tells(&self, trouble: Option<Trouble>) {
        self.told.subscribe().wait_for(|told| told.last() == Some(&trouble)).await.unwrap();
    }

    /// What the journal holds of a boot is what was measured, from the first value on, with none lost, repeated or moved.
    pub(crate) fn check(&self, journal: &Journal, boot: u64) -> usize {
        assert_eq!(journal.complaints, [""; 0]);
        let boot = &journal.boots[&(key(0).0, boot)];
        assert!(boot.given_up.is_empty());
        assert!(boot.batches.keys().copied().eq(1..=boot.batches.len() as u64));
        let pulse = boot.batches.values().flatten().filter(|channel| channel.index == 2);
        let values: Vec<i32> = pulse.flat_map(|channel| channel.values.iter().copied()).collect();
        let expected: Vec<i32> =
            (0..values.len()).map(|count| pulse_millivolts(u16::try_from(count % 4_096).unwrap())).collect();
        assert_eq!(values, expected);
        assert!(values.len() <= usize::from(self.measured.0.get()));
        values.len()
    }
}

pub(crate) fn no_flash() -> SimulatedFlash {
    SimulatedFlash::in_memory(0)
}

pub(crate) fn held(journal: &Journal, boot: u64) -> u64 {
    journal.boots.get(&(key(0).0, boot)).map_or(0, |boot| boot.batches.len() as u64)
}

#[tokio::test]
async fn everything_measured_arrives_though_connections_are_cut_and_the_network_goes() {
    let mut server = Server::start(keys(1), vec![Manner::Good(Vec::new())]).await;
    // Cut in the handshake, in the Hello, in batches.
    let budgets = vec![1, 100, 400, 600, 700, 900, 1_200, 2_500, 5_000];
    let proxy = Proxy::start(server.address, budgets).await;
    let device = Device::over_tcp(7, proxy.address, no_flash());
    device
        .run(key(0).1, async {
            server.until("batches come", |journal| held(journal, 7) >= 15).await;
            device.tells(None).await;
            device.network.is_there.send_replace(false);
            device.tells(Some(Trouble::WifiNotFound)).await;
            // Batches pile up.
            let held_before = device.shared.with_outbox(|outbox| outbox.next_sequence());
            while device.shared.with_outbox(|outbox| outbox.next_sequence()) < held_before + 10 {
                device.clock.wait_ms(20).await;
            }
            device.network.is_there.send_replace(true);
            device.tells(None).await;
            assert_eq!((device.status.activity(), device.status.trouble()), (Activity::Delivering, None));
            server.until("all come", |journal| held(journal, 7) >= held_before + 15).await;
        })
        .await;
    let journal = server.journal.lock().unwrap();
    assert!(device.check(&journal, 7) > 0);
    assert!(journal.hellos.iter().all(|hello| hello.profile == "pico" && !hello.past));
    assert_eq!(device.shared.with_outbox(|outbox| outbox.dropped()), 0);
    // No thermometer and no movement sensor: told once each.
    let lost = journal.events.iter().filter(|code| **code == event_code::SENSOR_LOST).count();
    assert!(lost <= 2);
}

#[tokio::test]
async fn what_the_boot_before_kept_in_flash_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before.flash"), dir.path().join("after.flash"));
    let flash = |path| SimulatedFlash::in_file(path, 65_536).unwrap();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let first = Device::over_tcp(1, nowhere, flash(&before));
    first
        .run(key(0).1, async {
            first.tells(Some(Trouble::ServerUnreachable)).await;
            while first.shared.with_outbox(|outbox| outbox.held()) < 5 {
                first.clock.wait_ms(20).await;
            }
            first.shared.save();
        })
        .await;
    let kept = first.shared.with_outbox(|outbox| outbox.held());
    // The first device holds its file: what the second finds is what was in it.
    std::fs::copy(&before, &after).unwrap();
    let mut server = Server::start(keys(1), vec![Manner::Good(Vec::new())]).await;
    let second = Device::over_tcp(2, server.address, flash(&after));
    second
        .run(key(0).1, async {
            server
                .until("both boots come", |journal| held(journal, 1) == kept && held(journal, 2) >= 5)
                .await;
        })
        .await;
    let journal = server.journal.lock().unwrap();
    assert_eq!(
        journal.hellos.iter().map(|hello| (hello.boot, hello.past)).collect::<Vec<_>>()[..2],
        [(1, true), (2, false)]
    );
    assert_eq!(journal.closed_well, 1);
    first.check(&journal, 1);
    second.check(&journal, 2);
}

#[tokio::test]
async fn each_way_to_fail_has_its_name() {
    let welcome = Manner::Good(Vec::new());
    let ack = written(|out| encode_ack(1_000_000, out));
    let ways = [
        (Manner::NoTls(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), key(0).1, Trouble::ServerRefuses),
        (Manner::NoTls(Vec::new()), key(0).1, Trouble::ServerRefuses),
        (welcome, [0x77; 32], Trouble::ServerRefuses),
        (Manner::Rude(ack), key(0).1, Trouble::ServerSilent),
    ];
    for (manner, psk, expected) in ways {
        let server = Server::start(keys(1), vec![manner.clone()]).await;
        let device = Device::over_tcp(7, server.address, no_flash());
        device.run(psk, device.tells(Some(expected))).await;
        assert_eq!(device.status.trouble(), Some(expected), "{manner:?}");
        assert!(device.told.borrow().iter().all(|told| *told == Some(expected)), "{manner:?}");
    }
}

#[tokio::test]
async fn the_server_may_configure_the_rate() {
    let configure = written(|out| encode_configure(Some(200), &[(2, 20_000), (1, 100_000)], out));
    let mut server = Server::start(keys(1), vec![Manner::Good(configure)]).await;
    let device = Device::over_tcp(7, server.address, no_flash());
    let is_configured = |journal: &Journal, index, interval_us| {
        let boot = journal.boots.get(&(key(0).0, 7));
        let mut channels = boot.into_iter().flat_map(|boot| boot.batches.values().flatten());
        channels.any(|channel| channel.index == index && channel.interval_us == interval_us)
    };
    device
        .run(key(0).1, async {
            server
                .until("it measures so", |journal| {
                    is_configured(journal, 2, 20_000) && is_configured(journal, 1, 100_000)
                })
                .await;
        })
        .await;
    let journal = server.journal.lock().unwrap();
    device.check(&journal, 7);
}

#[tokio::test]
async fn a_sensor_that_is_missing_is_told() {
    let mut server = Server::start(keys(1), vec![Manner::Good(Vec::new())]).await;
    let device = Device::over_tcp(7, server.address, no_flash());
    device
        .run(key(0).1, async {
            let lost = |journal: &Journal| {
                journal.events.iter().filter(|code| **code == event_code::SENSOR_LOST).count() == 2
            };
            server.until("both are told", lost).await;
        })
        .await;
}
