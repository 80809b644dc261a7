//! The course alone: what it asks for, says and ends with, step by step.

use vitalwire_protocol::batch::{
    BatchError, MESSAGE_LEN_MAX, Samples, decode, encode_batch, encode_event, encode_hello,
};

use super::*;

const UTC_US: i64 = 1_795_556_251_000_000;
const LIMITS: CourseLimits =
    CourseLimits { idle_timeout: Duration::from_secs(180), send_timeout: Duration::from_secs(10) };

/// A course, its clock, and what was decided so far.
struct Stepped {
    course: Course<u64>,
    began: Instant,
    now_ms: u64,
    out: Vec<u8>,
}

fn opening(now: &ServerClock) -> Opening {
    Opening {
        boot: 9,
        past: false,
        time_ms: 100_000,
        oldest: None,
        clock: DeviceClock::new(100_000, now.utc_us, now.utc_us),
        mapped: *now,
        profile: "pico".to_owned(),
        channels: 0b111_1111,
        batch_ms: None,
    }
}

impl Stepped {
    fn new(change: impl FnOnce(&mut Opening)) -> Self {
        let began = Instant::now();
        let now = ServerClock::at(UTC_US, began);
        let mut opening = opening(&now);
        change(&mut opening);
        Self { course: Course::new(&now, opening, LIMITS), began, now_ms: 0, out: Vec::new() }
    }

    /// Welcomed, with this much held.
    fn open(held: Option<u64>) -> Self {
        let mut stepped = Self::new(|_| {});
        assert_eq!(stepped.step(), "ask");
        stepped.course.handle_held(held);
        assert_eq!(stepped.step(), format!("Welcome {{ utc_ms: 1795556251000, sequence: {held:?} }}"));
        assert_eq!(stepped.step(), "online");
        assert_eq!(stepped.step(), "wait for messages, lease");
        stepped
    }

    fn now(&self) -> ServerClock {
        let instant = self.began + Duration::from_millis(self.now_ms);
        ServerClock::at(UTC_US + i64::try_from(self.now_ms * 1_000).unwrap(), instant)
    }

    /// What it wants next, as text.
    fn step(&mut self) -> String {
        let now = self.now();
        match self.course.poll(&now, &mut self.out) {
            Action::AskHeld => "ask".to_owned(),
            Action::GiveUp { below } => format!("give up below {below}"),
            Action::Send { by, .. } => {
                assert_eq!(by, now.instant() + LIMITS.send_timeout);
                let (message, len) = decode(&self.out).unwrap().unwrap();
                assert_eq!(len, self.out.len());
                let text = format!("{message:?}");
                text.split_once('(').map_or(text.clone(), |(_, rest)| rest.trim_end_matches(')').to_owned())
            }
            Action::Online => "online".to_owned(),
            Action::Take(sequence) => format!("take {sequence}"),
            Action::Tell(notice) => format!("{notice:?}"),
            Action::Wait(wait) => {
                let what = [(wait.messages, "messages"), (wait.journal, "journal"), (wait.lease, "lease")];
                let what: Vec<_> = what.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
                format!("wait for {}", what.join(", "))
            }
            Action::End(cause) => format!("end: {cause}"),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        assert!(self.course.takes_messages());
        let now = self.now();
        self.course.handle_bytes(&now);
        let (message, _) = decode(bytes).unwrap().unwrap();
        self.course.handle_message(&now, &message, |batch, _| batch.sequence);
    }

    fn settled(&mut self, sequence: u64, fate: Fate) {
        let now = self.now();
        self.course.handle_settled(&now, sequence, fate);
    }

    fn given_up(&mut self, below: u64, noted: Option<Option<u64>>) {
        let now = self.now();
        self.course.handle_given_up(&now, below, noted);
    }

    fn ended(&mut self, cause: Cause) {
        let now = self.now();
        self.course.handle_end(&now, cause);
    }
}

fn batch_of(sequence: u64, time_ms: u64, index: u8, oldest: Option<u64>) -> Vec<u8> {
    let samples = Samples { index, interval_us: 50_000, delay_us: 0, scale: 0, values: &[1, 2, 3] };
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = encode_batch(sequence, time_ms, oldest, &[samples], &mut out).unwrap();
    out.truncate(len);
    out
}

fn batch(sequence: u64) -> Vec<u8> {
    batch_of(sequence, 99_000, 0, None)
}

#[test]
fn one_acknowledgement_stands_for_all_that_a_commit_brings() {
    let mut stepped = Stepped::open(None);
    for sequence in 1..=3 {
        stepped.hear(&batch(sequence));
        assert_eq!(stepped.step(), format!("take {sequence}"));
    }
    stepped.settled(1, Fate::Held);
    stepped.settled(2, Fate::Held);
    assert_eq!(stepped.step(), "wait for messages, lease");
    stepped.settled(3, Fate::Held);
    assert_eq!(stepped.step(), "Ack { sequence: 3 }");
    assert_eq!(stepped.step(), "wait for messages, lease");
}

#[test]
fn with_many_on_their_way_the_device_is_not_read_and_half_of_them_are_acknowledged() {
    let mut stepped = Stepped::open(None);
    for sequence in 1..=PENDING_MAX as u64 {
        stepped.hear(&batch(sequence));
        assert_eq!(stepped.step(), format!("take {sequence}"));
    }
    assert_eq!(stepped.step(), "wait for lease");
    for sequence in 1..UNACKNOWLEDGED_MAX {
        stepped.settled(sequence, Fate::Held);
        assert_eq!(stepped.step(), "wait for messages, lease");
    }
    stepped.settled(UNACKNOWLEDGED_MAX, Fate::Held);
    assert_eq!(stepped.step(), format!("Ack {{ sequence: {UNACKNOWLEDGED_MAX} }}"));
}

#[test]
fn what_the_hello_gives_up_is_on_record_before_the_welcome() {
    for (noted, welcomed) in [(Some(Some(7)), 7), (None, 3)] {
        let mut stepped = Stepped::new(|opening| opening.oldest = Some(8));
        assert_eq!(stepped.step(), "ask");
        stepped.course.handle_held(Some(3));
        assert_eq!(stepped.step(), "give up below 8");
        stepped.given_up(8, noted);
        if noted.is_some() {
            assert_eq!(stepped.step(), "BatchesLost { below: 8, last: 3 }");
        }
        let expected = format!("Welcome {{ utc_ms: 1795556251000, sequence: Some({welcomed}) }}");
        assert_eq!(stepped.step(), expected);
    }
}

#[test]
fn a_configuration_follows_the_welcome() {
    let mut stepped = Stepped::new(|opening| opening.batch_ms = Some(500));
    stepped.step();
    stepped.course.handle_held(None);
    assert!(stepped.step().starts_with("Welcome"));
    assert!(stepped.step().starts_with("Configure { batch_ms: Some(500)"), "{:?}", stepped.out);
    assert_eq!(stepped.step(), "online");
}

#[test]
fn a_skipped_number_is_given_up_when_what_came_before_is_settled() {
    let mut stepped = Stepped::open(None);
    stepped.hear(&batch(1));
    assert_eq!(stepped.step(), "take 1");
    stepped.hear(&batch(4));
    assert_eq!(stepped.step(), "wait for lease", "1 may be owed");
    stepped.settled(1, Fate::Held);
    assert_eq!(stepped.step(), "give up below 4");
    stepped.given_up(4, Some(Some(3)));
    assert_eq!(stepped.step(), "BatchesLost { below: 4, last: 1 }");
    assert_eq!(stepped.step(), "take 4");
    stepped.settled(4, Fate::Held);
    assert_eq!(stepped.step(), "Ack { sequence: 4 }");
}

#[test]
fn what_is_owed_is_neither_acknowledged_nor_given_up_and_ends_when_the_journal_is_back() {
    let mut stepped = Stepped::open(None);
    stepped.hear(&batch(1));
    assert_eq!(stepped.step(), "take 1");
    stepped.settled(1, Fate::Owed);
    assert_eq!(stepped.step(), "wait for messages, journal, lease");
    // 2 is skipped; but as 1 must come again, 2 may.
    stepped.hear(&batch(3));
    assert_eq!(stepped.step(), "take 3");
    stepped.settled(3, Fate::Held);
    assert_eq!(stepped.step(), "wait for messages, journal, lease");
    stepped.course.handle_journal_back();
    assert!(stepped.step().starts_with("end: the journal takes entries again"));
}

#[test]
fn oldest_is_given_up_though_something_is_owed() {
    let mut stepped = Stepped::open(None);
    stepped.hear(&batch(1));
    stepped.step();
    stepped.settled(1, Fate::Owed);
    stepped.hear(&batch_of(5, 99_000, 0, Some(4)));
    assert_eq!(stepped.step(), "give up below 4");
    // The journal cannot now: the batch is taken all the same.
    stepped.given_up(4, None);
    assert_eq!(stepped.step(), "take 5");
}

#[test]
fn a_refused_batch_is_named_after_what_came_before_is_acknowledged() {
    let too_long = {
        let values = [1; 3];
        let samples = Samples { index: 0, interval_us: 60_000_000, delay_us: 0, scale: 0, values: &values };
        let mut out = vec![0; 256];
        let len = encode_batch(2, 1, None, &[samples], &mut out).unwrap();
        out.truncate(len);
        out
    };
    for (message, refused) in [
        (
            batch_of(2, 99_000, 9, None),
            "code: 3, text: \"the profile `pico` has no channel 9\", sequence: Some(2)",
        ),
        (
            too_long,
            "code: 4, text: \"a batch spans 120000000 µs; the most is 60000000 µs\", sequence: Some(2)",
        ),
        (batch(1), "code: 5, text: \"batch 1 came after batch 1: sequences only grow\", sequence: Some(2)"),
    ] {
        let mut stepped = Stepped::open(None);
        stepped.hear(&batch(1));
        stepped.step();
        stepped.hear(&message);
        assert_eq!(stepped.step(), "wait for ", "1 is on its way to the disk");
        stepped.settled(1, Fate::Held);
        assert_eq!(stepped.step(), "Ack { sequence: 1 }");
        assert_eq!(stepped.step(), format!("Refused {{ {refused} }}"));
        assert!(stepped.step().starts_with("end: "));
        assert_eq!(stepped.step(), "wait for ", "once");
    }
}

#[test]
fn a_batch_that_cannot_be_read_is_named_by_its_place() {
    let mut stepped = Stepped::open(Some(10));
    stepped.course.handle_bad_message(BatchError::BatchValueCount, true);
    assert!(stepped.step().ends_with("sequence: Some(11) }"));
    let mut stepped = Stepped::open(Some(10));
    stepped.hear(&batch(11));
    stepped.step();
    stepped.settled(11, Fate::Held);
    stepped.step();
    stepped.course.handle_bad_message(BatchError::BatchValueCount, true);
    assert!(stepped.step().ends_with("sequence: Some(12) }"));
    let mut stepped = Stepped::open(None);
    stepped.course.handle_bad_message(BatchError::NotAMessage { at: 0 }, false);
    assert!(stepped.step().ends_with("sequence: None }"));
}

#[test]
fn of_two_refused_batches_the_first_is_named() {
    let mut stepped = Stepped::open(Some(5));
    stepped.hear(&batch(3));
    stepped.step();
    stepped.hear(&batch_of(4, 99_000, 9, None));
    stepped.settled(3, Fate::OtherIsHeld);
    assert!(stepped.step().contains("code: 6,") && stepped.out.ends_with(&[2, 3]));
    assert!(stepped.step().starts_with("end: another batch 3 of this boot is held"));
}

#[test]
fn no_end_but_a_fault_of_the_device_is_told_and_what_no_one_reads_is_not_sent() {
    let lost = || Cause::Lost(std::io::ErrorKind::ConnectionReset.into());
    for (cause, sends) in [(Cause::Closed { mid_message: false }, true), (lost(), false)] {
        let mut stepped = Stepped::open(None);
        stepped.hear(&batch(1));
        stepped.step();
        stepped.ended(cause);
        stepped.settled(1, Fate::Held);
        assert_eq!(stepped.step() == "Ack { sequence: 1 }", sends);
        if sends {
            // It cannot be sent; the cause stays.
            stepped.course.handle_send_failed(lost());
            assert_eq!(stepped.step(), "end: the device closed the connection");
        }
    }
    let mut stepped = Stepped::open(None);
    stepped.hear(&batch(1));
    stepped.step();
    stepped.settled(1, Fate::Held);
    assert_eq!(stepped.step(), "Ack { sequence: 1 }");
    stepped.course.handle_send_failed(Cause::SlowReader(LIMITS.send_timeout));
    assert!(stepped.step().starts_with("end: the device does not read its acknowledgements"));
}

#[test]
fn a_device_that_is_silent_for_too_long_is_left() {
    let mut stepped = Stepped::open(None);
    stepped.now_ms = 179_999;
    stepped.course.handle_bytes(&stepped.now());
    stepped.now_ms = 359_998;
    assert_eq!(stepped.step(), "wait for messages, lease");
    stepped.now_ms += 1;
    assert_eq!(stepped.step(), "end: nothing received for 180s");
}

#[test]
fn on_a_stop_what_was_sent_is_taken_and_a_flood_is_not_waited_for() {
    let mut stepped = Stepped::open(None);
    stepped.ended(Ending::Stopped.into());
    for sequence in 1..=3 {
        stepped.now_ms += 19;
        stepped.hear(&batch(sequence));
        assert_eq!(stepped.step(), format!("take {sequence}"));
        assert_eq!(stepped.step(), "wait for messages");
    }
    stepped.now_ms += 20;
    assert_eq!(stepped.step(), "wait for ");
    (1..=3).for_each(|sequence| stepped.settled(sequence, Fate::Held));
    assert_eq!(stepped.step(), "Ack { sequence: 3 }");
    assert_eq!(stepped.step(), format!("end: {}", Ending::Stopped));

    let mut stepped = Stepped::open(None);
    stepped.ended(Ending::Stopped.into());
    let mut taken = 0;
    loop {
        stepped.now_ms += 1;
        stepped.hear(&batch(taken + 1));
        if !stepped.step().starts_with("take") {
            break;
        }
        taken += 1;
        stepped.settled(taken, Fate::Held);
    }
    assert!((490..=500).contains(&taken), "{taken}");
}

#[test]
fn a_clock_that_was_set_ends_the_connection_and_refuses_nothing() {
    let mut stepped = Stepped::open(None);
    let set = ServerClock::at(UTC_US + 3_600_000_000, stepped.began);
    let bytes = batch(1);
    let (message, _) = decode(&bytes).unwrap().unwrap();
    stepped.course.handle_message(&set, &message, |batch, _| batch.sequence);
    assert!(stepped.step().starts_with("end: the server's clock was set"));
}

#[test]
fn a_clock_ahead_is_told_when_it_begins_and_when_it_ends() {
    let mut stepped = Stepped::open(None);
    let mut told = Vec::new();
    for sequence in 1..=60_u64 {
        let is_ahead = (11..=50).contains(&sequence);
        stepped.hear(&batch_of(sequence, if is_ahead { 3_700_000 } else { 99_000 }, 0, None));
        loop {
            match stepped.step() {
                step if step == format!("take {sequence}") => break,
                notice => told.push(notice),
            }
        }
        stepped.settled(sequence, Fate::Held);
        stepped.step();
    }
    assert_eq!(told, ["ClockJump { sequence: 11 }", "ClockJumpOver { sequence: 51, batches: 40 }"]);
    // A lying clock is not what a boot is held to.
    assert_eq!(stepped.course.shown_ms(), Some(100_000));
}

#[test]
fn a_device_is_heard_of_twenty_times_in_ten_seconds() {
    let mut stepped = Stepped::open(None);
    let mut event = [0; 64];
    let len = encode_event(&Event { code: 2, text: "DS18B20", time_ms: 1 }, &mut event).unwrap();
    let told = |stepped: &mut Stepped| {
        (0..500)
            .filter(|_| {
                stepped.hear(&event[..len]);
                stepped.step().starts_with("Told") && stepped.step().starts_with("wait")
            })
            .count()
    };
    assert_eq!(told(&mut stepped), 20);
    stepped.now_ms = 9_999;
    assert_eq!(told(&mut stepped), 0);
    stepped.now_ms = 10_000;
    assert_eq!(told(&mut stepped), 20);
}

#[test]
fn what_a_server_says_and_a_second_hello_are_out_of_turn() {
    let hello = vitalwire_protocol::batch::Hello {
        boot: 9,
        profile: "pico",
        firmware: "1",
        time_ms: 1,
        oldest: None,
        past: false,
    };
    let mut stepped = Stepped::open(None);
    let mut out = [0; 64];
    let len = encode_hello(&hello, &mut out).unwrap();
    stepped.hear(&out[..len]);
    assert!(stepped.step().contains("code: 1, text: \"a second Hello is no message"));
    let mut stepped = Stepped::open(None);
    let len = encode_ack(1, &mut out).unwrap();
    stepped.hear(&out[..len]);
    assert!(stepped.step().contains("code: 1, text: \"an Ack"));
    // A message of a later version is skipped.
    let mut stepped = Stepped::open(None);
    stepped.hear(&[0x82, 9, 0xa0]);
    assert_eq!(stepped.step(), "wait for messages, lease");
}

#[test]
fn a_boot_is_used_twice_when_its_clock_goes_back() {
    let is_refused = |time_ms, known_ms| check_boot(time_ms, known_ms).is_err();
    assert!(
        !is_refused(0, None) && !is_refused(100_000, Some(100_000)) && !is_refused(99_000, Some(100_000))
    );
    assert!(is_refused(98_999, Some(100_000)) && is_refused(0, Some(u64::MAX)));
    // What it has shown grows with what it sends, as far as the server's clock agrees.
    let mut stepped = Stepped::open(None);
    stepped.now_ms = 50_000;
    stepped.hear(&batch_of(1, 140_000, 0, None));
    assert_eq!(stepped.course.shown_ms(), Some(140_100));
    stepped.step();
    stepped.hear(&batch_of(2, 149_999, 0, None));
    assert_eq!(stepped.course.shown_ms(), Some(149_995), "less what quartzes drift");
    let past = Stepped::new(|opening| opening.past = true);
    assert_eq!(past.course.shown_ms(), None);
}
