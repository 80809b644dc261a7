//! The collector over a network that exists in memory only, with the paper's frames. What it does over TLS is tested where a
//! TLS server is: in the simulator.

extern crate std;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_io_async::{ErrorKind, ErrorType};
use tokio::sync::Notify;
use vitalwire_protocol::{CbcSecret, Channel, FrameDecoder, Sample, Variant};

use super::*;
use crate::outbox::{NoFlash, Outbox};
use crate::random::{Drbg, Entropy};
use crate::recorder::{self, Plan, record};
use crate::sensors::virtual_sensors::VirtualAdc;
use crate::sensors::{AdcInput, Readings};
use crate::test_clock::TestClock;

const KEY: [u8; 16] = *b"1234567890123456";
const IV: [u8; 16] = *b"AAAAAAAAAAAAAAAA";

/// How the next connection is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// Takes everything.
    Good,
    /// Closes after so many bytes.
    Closes(usize),
    /// Says something.
    Answers,
}

#[derive(Default)]
struct Connection {
    meeting: Cell<Option<Meeting>>,
    /// What came, and when, in milliseconds.
    received: RefCell<Vec<(u64, Vec<u8>)>>,
    is_closed: Cell<bool>,
    closed: Notify,
}

impl Connection {
    fn close(&self) {
        self.is_closed.set(true);
        self.closed.notify_waiters();
    }

    fn samples(&self) -> Vec<(u64, Vec<std::string::String>)> {
        let mut decoder = FrameDecoder::new(&CbcSecret::new(KEY, IV), Variant::Chained);
        let mut samples = Vec::new();
        for (at_ms, bytes) in self.received.borrow().iter() {
            let mut rest = &bytes[..];
            while let Some(json) = decoder.next(&mut rest).unwrap() {
                let sample = Sample::parse(json).unwrap();
                let texts = Channel::ALL.map(|channel| sample.value(channel).text.into());
                samples.push((*at_ms, texts.to_vec()));
            }
        }
        samples
    }
}

#[derive(Clone)]
struct TestSocket(Rc<Connection>, TestClock);

impl ErrorType for TestSocket {
    type Error = ErrorKind;
}

impl Read for TestSocket {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.0.meeting.get() == Some(Meeting::Answers) {
            bytes[0] = b'?';
            return Ok(1);
        }
        while !self.0.is_closed.get() {
            self.0.closed.notified().await;
        }
        Ok(0)
    }
}

impl Write for TestSocket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.0.is_closed.get() {
            return Err(ErrorKind::BrokenPipe);
        }
        self.0.received.borrow_mut().push((self.1.now_ms(), bytes.to_vec()));
        let len: usize = self.0.received.borrow().iter().map(|(_, bytes)| bytes.len()).sum();
        if let Some(Meeting::Closes(len_max)) = self.0.meeting.get()
            && len >= len_max
        {
            self.0.close();
        }
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Joins and connects as it is told; when nothing is left to tell, well.
struct TestNetwork {
    clock: TestClock,
    joins: RefCell<VecDeque<Result<(), Trouble>>>,
    hangs: Cell<bool>,
    connects: RefCell<VecDeque<Result<Meeting, Trouble>>>,
    connections: RefCell<Vec<Rc<Connection>>>,
    joined_ms: RefCell<Vec<u64>>,
    started_over: RefCell<Vec<Trouble>>,
    lost: Notify,
}

impl TestNetwork {
    fn new(clock: TestClock) -> Self {
        Self {
            clock,
            joins: RefCell::default(),
            hangs: Cell::new(false),
            connects: RefCell::default(),
            connections: RefCell::default(),
            joined_ms: RefCell::default(),
            started_over: RefCell::default(),
            lost: Notify::new(),
        }
    }

    fn connection(&self, index: usize) -> Rc<Connection> {
        Rc::clone(&self.connections.borrow()[index])
    }
}

impl Network for TestNetwork {
    type Socket<'n> = TestSocket;

    async fn join(&self, settings: &Settings) -> Result<(), Trouble> {
        assert_eq!(settings.wifi_name, b"Ward 3");
        self.joined_ms.borrow_mut().push(self.clock.now_ms());
        if self.hangs.get() {
            pending::<()>().await;
        }
        self.joins.borrow_mut().pop_front().unwrap_or(Ok(()))
    }

    async fn connect(&self, settings: &Settings) -> Result<TestSocket, Trouble> {
        assert_eq!((settings.server.as_str(), settings.port), ("vitalwire.example", 9_998));
        let meeting = self.connects.borrow_mut().pop_front().unwrap_or(Ok(Meeting::Good))?;
        let connection = Rc::new(Connection::default());
        connection.meeting.set(Some(meeting));
        self.connections.borrow_mut().push(Rc::clone(&connection));
        Ok(TestSocket(connection, self.clock))
    }

    async fn close(&self, socket: Self::Socket<'_>) {
        socket.0.close();
    }

    async fn lost(&self) {
        self.lost.notified().await;
    }

    async fn start_over(&self, trouble: Trouble) {
        self.started_over.borrow_mut().push(trouble);
    }
}

type TestShared = Shared<NoopRawMutex, Vec<u8>, NoFlash>;

/// A device on a network, from its start to the end of `story`.
struct Bench {
    clock: TestClock,
    network: TestNetwork,
    shared: TestShared,
    status: Status<NoopRawMutex>,
    told: RefCell<Vec<Option<Trouble>>>,
    kept: RefCell<Vec<Option<Trouble>>>,
    plan: Plan,
}

impl Bench {
    fn new() -> Self {
        let clock = TestClock::new();
        Self {
            clock,
            network: TestNetwork::new(clock),
            shared: Shared::new(Outbox::mount(1, vec![0; 65_536], NoFlash), 0),
            status: Status::new(),
            told: RefCell::default(),
            kept: RefCell::default(),
            plan: Plan::FRAMES,
        }
    }

    async fn run(&self, story: impl Future<Output = ()>) {
        let settings = Settings {
            server: heapless::String::try_from("vitalwire.example").unwrap(),
            port: 9_998,
            wifi_name: heapless::Vec::from_slice(b"Ward 3").unwrap(),
            wifi_password: heapless::String::new(),
        };
        let identity = Identity {
            name: heapless::String::new(),
            setup_key: [0; 16],
            seed: [0; 32],
            access_point_password: None,
            credentials: Credentials::Frames { key: KEY, iv: IV },
            tag: [0; 16],
        };
        let collector = Collector {
            network: &self.network,
            settings: &settings,
            identity: &identity,
            firmware: "1.0.0",
            shared: &self.shared,
            status: &self.status,
            clock: self.clock,
            limits: CollectorLimits::default(),
        };
        let clock = self.clock;
        let adc = VirtualAdc::new(move |input| match input {
            AdcInput::Pulse => u16::try_from(clock.now_ms() / 50 % 4_096).ok(),
            AdcInput::McuTemperature => Some(876),
        });
        let readings = Readings::<NoopRawMutex>::new();
        let entropy = Entropy { identity: &[1; 32], stored: None, sampled: &[], boot_us: 0 };
        let mut rng = Drbg::new(&entropy);
        let (mut memory, mut recorders) = (Memory::new(), recorder::Memory::new());
        assert_eq!(Plan::of(&identity.credentials), Plan::FRAMES);
        let recording = record(adc, clock, &readings, &self.shared, self.plan, &mut recorders);
        let collecting = collector.run(&mut rng, &mut memory, |news| match news {
            TroubleNews::Now(trouble) => self.told.borrow_mut().push(trouble),
            TroubleNews::Keep(trouble) => self.kept.borrow_mut().push(trouble),
        });
        select(story, select(recording, collecting)).await;
    }
}

/// What the pulse says at this millisecond.
fn pulse(at_ms: u64) -> std::string::String {
    let millivolts = crate::sensors::pulse_millivolts(u16::try_from(at_ms / 50 % 4_096).unwrap());
    std::format!("{}.{:03}", millivolts / 1_000, millivolts % 1_000)
}

#[tokio::test(start_paused = true)]
async fn frames_carry_what_is_measured_now() {
    let bench = Bench::new();
    bench.run(bench.clock.wait_ms(10_010)).await;
    assert_eq!((bench.status.activity(), bench.status.trouble()), (Activity::Delivering, None));
    assert_eq!(*bench.told.borrow(), [None]);
    let samples = bench.network.connection(0).samples();
    // The recorder was first: the sample of moment 0 was gone when there was a connection.
    assert_eq!(samples.len(), 200);
    for (at_ms, texts) in samples {
        assert_eq!(texts[..3], ["-127.000", "27.138", &pulse(at_ms)]);
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_backlog_after_a_minute_without_network() {
    let bench = Bench::new();
    bench.network.connects.borrow_mut().extend([Ok(Meeting::Good)]);
    bench
        .run(async {
            bench.clock.wait_ms(20_020).await;
            bench.network.joins.borrow_mut().extend([Err(Trouble::WifiNotFound); 6]);
            bench.network.lost.notify_one();
            bench.clock.wait_ms(1).await;
            assert_eq!(bench.status.trouble(), Some(Trouble::Wifi));
            bench.clock.wait_ms(120_000).await;
            assert_eq!(bench.status.activity(), Activity::Delivering);
        })
        .await;
    let samples = bench.network.connection(1).samples();
    assert!(samples.len() > 20);
    for (at_ms, texts) in samples {
        assert_eq!(texts[2], pulse(at_ms), "at {at_ms} ms");
    }
    // As the status says them: the loss, the tries, and that all is well.
    let told = bench.told.borrow();
    let expected = [vec![None, Some(Trouble::Wifi)], vec![Some(Trouble::WifiNotFound); 6], vec![None]];
    assert_eq!(*told, expected.concat());
    // What the tries came to is kept, and that all is well when it has lasted.
    assert_eq!(*bench.kept.borrow(), [Some(Trouble::Wifi), Some(Trouble::WifiNotFound), None]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_take_frames_is_told_from_one_that_goes() {
    let meetings = [
        (Meeting::Closes(1), Trouble::ServerRefuses),
        (Meeting::Closes(20_000), Trouble::ServerSilent),
        (Meeting::Answers, Trouble::ServerRefuses),
    ];
    for (meeting, expected) in meetings {
        let bench = Bench::new();
        bench.network.connects.borrow_mut().push_back(Ok(meeting));
        bench
            .run(async {
                bench.clock.wait_ms(30_000).await;
                assert_eq!((bench.status.activity(), bench.status.trouble()), (Activity::Delivering, None));
            })
            .await;
        assert!(bench.told.borrow().contains(&Some(expected)), "{meeting:?}");
        assert!(bench.network.connection(0).is_closed.get());
    }
}

#[tokio::test(start_paused = true)]
async fn every_trouble_is_shown_kept_and_tried_again_after_growing_pauses() {
    for trouble in [Trouble::WifiPassword, Trouble::WifiNotFound, Trouble::Wifi, Trouble::ServerUnreachable] {
        let mut bench = Bench::new();
        bench.plan.pulse_interval_us = 1_000_000;
        if trouble == Trouble::ServerUnreachable {
            bench.network.connects.borrow_mut().extend([Err(trouble); 40]);
        } else {
            bench.network.joins.borrow_mut().extend([Err(trouble); 40]);
        }
        bench
            .run(async {
                for _ in 0..600 {
                    bench.clock.wait_ms(1_000).await;
                    assert!(bench.shared.is_alive(bench.clock.now_ms()));
                }
                assert_eq!(bench.status.trouble(), Some(trouble));
                let tries = bench.network.joined_ms.borrow().len();
                // At most a minute between two, half of it on the average: none hammers, none gives up.
                assert!((10..40).contains(&tries), "{tries} tries in ten minutes");
                assert_eq!(bench.network.started_over.borrow().len(), tries / 5);
                bench.clock.wait_ms(40 * 60_000).await;
                assert_eq!((bench.status.activity(), bench.status.trouble()), (Activity::Delivering, None));
            })
            .await;
        assert_eq!(*bench.kept.borrow(), [Some(trouble), None]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_hangs_is_started_anew_and_the_collector_lives() {
    let bench = Bench::new();
    bench.network.hangs.set(true);
    bench
        .run(async {
            for _ in 0..250 {
                bench.clock.wait_ms(1_000).await;
                assert!(bench.shared.is_alive(bench.clock.now_ms()));
            }
            assert_eq!(bench.status.trouble(), Some(Trouble::Modem));
            assert_eq!(bench.network.started_over.borrow()[..], [Trouble::Modem; 2]);
            bench.network.hangs.set(false);
            bench.clock.wait_ms(200_000).await;
            assert_eq!((bench.status.activity(), bench.status.trouble()), (Activity::Delivering, None));
        })
        .await;
}
