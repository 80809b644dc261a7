//! Random histories of a device: measuring, cuts, late acknowledgements, restarts. At the end the server holds every batch
//! that was not dropped for want of room and counted, or lost with the memory of a restart; each once, in order.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use vitalwire_device::outbox::Outbox;
use vitalwire_device::session::{Identity, Incoming, Session, SessionLimits};
use vitalwire_testing::flash::Flash;

use crate::server::Server;
use crate::session::push;

type Memory = Outbox<Vec<u8>, Flash<4, 256>>;

const IDENTITY: Identity<'static> = Identity { profile: "pico", firmware: "1.0.0", started_ms: 0 };

#[derive(Clone, Debug)]
enum Step {
    /// Batches are made.
    Measure(u8),
    /// So many messages reach the server.
    Send(u8),
    /// The server says what it holds.
    Acknowledge,
    /// The connection is lost; so many more messages were written and never arrived.
    Cut(u8),
    /// The device starts again, after it saved its memory or not.
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_u8).prop_map(Step::Measure),
        4 => (1..12_u8).prop_map(Step::Send),
        3 => Just(Step::Acknowledge),
        2 => (0..8_u8).prop_map(Step::Cut),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

struct Device {
    outbox: Memory,
    session: Option<Session>,
    /// What the outbox should hold, oldest first: boot, sequence, values.
    held: VecDeque<(u64, u64, Vec<i32>)>,
    /// What must reach the server, or has.
    expected: Vec<(u64, u64, Vec<i32>)>,
    /// What may be missing there.
    excused: Vec<(u64, u64)>,
    now_ms: u64,
}

impl Device {
    fn new(sectors: usize, window_len: u64) -> (Self, SessionLimits) {
        let limits = SessionLimits { window_len, ..SessionLimits::default() };
        let outbox = Outbox::mount(1, vec![0; 150], Flash::new(sectors));
        let device = Self {
            outbox,
            session: None,
            held: VecDeque::new(),
            expected: Vec::new(),
            excused: Vec::new(),
            now_ms: 0,
        };
        (device, limits)
    }

    fn measure(&mut self, batches: u8) {
        for _ in 0..batches {
            self.now_ms += 1_000;
            let (boot, sequence) = (self.outbox.boot(), self.outbox.next_sequence());
            let tag = i32::try_from(boot * 1_000 + sequence).unwrap();
            let values = vec![tag; usize::try_from(1 + sequence % 9).unwrap()];
            let dropped = push(&mut self.outbox, &values);
            for _ in 0..dropped {
                let (boot, sequence, _) = self.held.pop_front().expect("what is dropped was held");
                self.excused.push((boot, sequence));
            }
            self.held.push_back((boot, sequence, values.clone()));
            self.expected.push((boot, sequence, values));
            assert_eq!(self.outbox.held(), self.held.len() as u64);
        }
    }

    fn send(&mut self, server: &mut Server, limits: SessionLimits, messages: u8, arrive: bool) {
        let mut out = [0; 512];
        if self.session.is_none() {
            let begun = Session::begin(&mut self.outbox, &IDENTITY, limits, self.now_ms, &mut out);
            let (mut session, len) = begun.unwrap();
            server.connected();
            server.take(&out[..len]);
            let welcome = server.welcome();
            let incoming = session.receive(&mut self.outbox, self.now_ms, &mut &welcome[..]).unwrap();
            assert!(matches!(incoming, Some(Incoming::Welcome(_))));
            self.session = Some(session);
            self.forget();
        }
        let Some(session) = &mut self.session else { return };
        for _ in 0..messages {
            let Some(outgoing) = session.next_message(&mut self.outbox, self.now_ms, &mut out).unwrap()
            else {
                return;
            };
            if arrive {
                server.take(&out[..outgoing.len()]);
            }
        }
    }

    /// The outbox has forgotten what was acknowledged.
    fn forget(&mut self) {
        while self.held.len() as u64 > self.outbox.held() {
            self.held.pop_front();
        }
    }

    fn acknowledged(&mut self, server: &mut Server) {
        let Some(session) = &mut self.session else { return };
        if let Some(ack) = server.ack() {
            session.receive(&mut self.outbox, self.now_ms, &mut &ack[..]).unwrap();
            self.forget();
        }
        if self.session.as_ref().is_some_and(|session| session.is_finished(&mut self.outbox)) {
            self.session = None;
        }
    }

    fn restart(mut self, saved: bool) -> Self {
        if saved {
            self.outbox.save();
            // Room for what is saved may be made by dropping the oldest.
            while self.held.len() as u64 > self.outbox.held() {
                let (boot, sequence, _) = self.held.pop_front().unwrap();
                self.excused.push((boot, sequence));
            }
        }
        let in_flash = usize::try_from(self.outbox.held_in_flash()).unwrap();
        for (boot, sequence, _) in self.held.split_off(in_flash) {
            self.excused.push((boot, sequence));
        }
        let boot = self.outbox.boot() + 1;
        self.outbox = Outbox::mount(boot, vec![0; 150], self.outbox.into_flash());
        self.session = None;
        // Of a sector not wholly acknowledged all comes back: what the server holds already.
        let back = self.outbox.held() - self.held.len() as u64;
        assert!(back <= 12, "{back} came back");
        for _ in 0..back {
            self.held.push_front((0, 0, Vec::new()));
        }
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn nothing_is_lost_that_was_not_counted_and_nothing_comes_out_of_order(
        steps in vec(step(), 1..60),
        sectors in prop_oneof![Just(0_usize), Just(3), Just(40)],
        window_len in prop_oneof![Just(1_u64), Just(200), Just(100_000)],
    ) {
        let (mut device, limits) = Device::new(sectors, window_len);
        let mut server = Server::default();
        for step in steps {
            match step {
                Step::Measure(batches) => device.measure(batches),
                Step::Send(messages) => device.send(&mut server, limits, messages, true),
                Step::Acknowledge => device.acknowledged(&mut server),
                Step::Cut(messages) => {
                    device.send(&mut server, limits, messages, false);
                    device.session = None;
                }
                Step::Restart(saved) => device = device.restart(saved),
            }
        }
        // In the end the network holds.
        device.session = None;
        let mut rounds = 0;
        while device.outbox.held() > 0 {
            device.send(&mut server, limits, u8::MAX, true);
            device.acknowledged(&mut server);
            rounds += 1;
            prop_assert!(rounds < 5_000, "{} are left", device.outbox.held());
        }
        for (boot, sequence, values) in &device.expected {
            let known = server.boots.get(boot);
            match known.and_then(|known| known.held.get(sequence)) {
                Some(held) => prop_assert_eq!(held, values),
                None => prop_assert!(device.excused.contains(&(*boot, *sequence)), "{} of boot {} is lost", sequence, boot),
            }
        }
    }
}
