//! What a session sends, understands and refuses.

use vitalwire_device::batcher::Settings;
use vitalwire_device::outbox::{NoFlash, Outbox};
use vitalwire_device::session::{
    HELLO_LEN_MAX, Identity, Incoming, Outgoing, Session, SessionError, SessionLimits,
};
use vitalwire_protocol::batch::{
    BatchError, EVENT_TEXT_LEN_MAX, Event, FIRMWARE_LEN_MAX, Hello, Message, PROFILE_NAME_LEN_MAX, Refused,
    Samples, Welcome, decode, encode_ack, encode_batch, encode_configure, encode_event, encode_hello,
    encode_refused, encode_welcome, event_code,
};
use vitalwire_testing::flash::Flash;

type InMemory = Outbox<Vec<u8>, NoFlash>;

const IDENTITY: Identity<'static> = Identity { profile: "pico", firmware: "1.0.0", started_ms: 1_000 };
const LIMITS: SessionLimits =
    SessionLimits { window_len: 100, welcome_ms_max: 10_000, ack_ms_max: 30_000, event_every_ms: 60_000 };

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>) -> Vec<u8> {
    let mut out = vec![0; 1_024];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}

/// Takes in a batch of one channel with these integers.
fn push(outbox: &mut Outbox<Vec<u8>, impl embedded_storage::nor_flash::NorFlash>, values: &[i32]) -> u64 {
    let sequence = outbox.next_sequence();
    let samples = Samples { index: 0, interval_us: 50_000, delay_us: 0, scale: 0, values };
    let message = written(|out| encode_batch(sequence, sequence * 1_000, None, &[samples], out));
    outbox.push(sequence * 1_000, &message).unwrap()
}

fn begin(outbox: &mut InMemory) -> Session {
    Session::begin(outbox, &IDENTITY, LIMITS, 1_500, &mut [0; HELLO_LEN_MAX]).unwrap().0
}

fn welcome(sequence: Option<u64>) -> Vec<u8> {
    written(|out| encode_welcome(&Welcome { utc_ms: 7, sequence }, out))
}

fn receive(
    session: &mut Session,
    outbox: &mut InMemory,
    bytes: &[u8],
) -> Result<Option<Incoming>, SessionError> {
    let mut rest = bytes;
    let incoming = session.receive(outbox, 2_000, &mut rest)?;
    assert!(rest.is_empty());
    Ok(incoming)
}

/// Sequences that go out now, with `oldest` where it is told.
fn sent(session: &mut Session, outbox: &mut InMemory, now_ms: u64) -> Vec<(u64, Option<u64>)> {
    let mut out = [0; 512];
    let mut sent = Vec::new();
    while let Some(outgoing) = session.next_message(outbox, now_ms, &mut out).unwrap() {
        match (outgoing, decode(&out[..outgoing.len()]).unwrap().unwrap()) {
            (Outgoing::Batch { sequence, len }, (Message::Batch(batch), end)) => {
                assert_eq!((batch.sequence, end), (sequence, len));
                sent.push((sequence, batch.oldest));
            }
            (Outgoing::Event { .. }, (Message::Event(event), _)) => {
                assert_eq!(event.code, event_code::OUTBOX_FULL);
                sent.push((0, None));
            }
            other => panic!("{other:?}"),
        }
    }
    sent
}

#[test]
fn hello_says_who_speaks_and_what_is_held() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 100], NoFlash);
    let dropped: u64 = (0..5).map(|_| push(&mut outbox, &[1; 60])).sum();
    let mut out = [0; HELLO_LEN_MAX];
    let (session, len) = Session::begin(&mut outbox, &IDENTITY, LIMITS, 1_500, &mut out).unwrap();
    let Some((Message::Hello(hello), _)) = decode(&out[..len]).unwrap() else { panic!("no Hello") };
    assert_eq!((hello.boot, hello.time_ms, hello.past), (9, 1_500, false));
    assert!(hello.oldest == Some(dropped + 1) && dropped > 0 && !session.is_welcome());
}

#[test]
fn the_longest_hello_fits() {
    let names = "n".repeat(PROFILE_NAME_LEN_MAX.max(FIRMWARE_LEN_MAX));
    let hello = Hello {
        boot: u64::MAX,
        profile: &names[..PROFILE_NAME_LEN_MAX],
        firmware: &names[..FIRMWARE_LEN_MAX],
        time_ms: vitalwire_protocol::batch::TIME_MS_MAX,
        oldest: Some(vitalwire_protocol::batch::SEQUENCE_MAX),
        past: true,
    };
    assert!(encode_hello(&hello, &mut [0; HELLO_LEN_MAX]).is_ok());
}

#[test]
fn hello_for_an_earlier_boot_counts_the_time_since_the_start() {
    let mut before = Outbox::mount(1, vec![0; 100], Flash::<4, 256>::new(4));
    (0..3).for_each(|_| assert_eq!(push(&mut before, &[1; 9]), 0));
    before.save();
    let mut outbox = Outbox::mount(2, vec![0; 100], before.into_flash());
    let mut out = [0; HELLO_LEN_MAX];
    let (session, len) = Session::begin(&mut outbox, &IDENTITY, LIMITS, 1_500, &mut out).unwrap();
    let Some((Message::Hello(hello), _)) = decode(&out[..len]).unwrap() else { panic!("no Hello") };
    assert_eq!((hello.boot, hello.past, hello.oldest), (1, true, Some(1)));
    assert_eq!(hello.time_ms, 3_000 + 500);
    assert!(!session.is_finished(&mut outbox));
    outbox.acknowledge(3);
    assert!(session.is_finished(&mut outbox));
}

#[test]
fn nothing_goes_out_before_the_welcome_and_then_only_what_the_server_lacks() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 1_000], NoFlash);
    (0..5).for_each(|_| assert_eq!(push(&mut outbox, &[1, 2]), 0));
    let mut session = begin(&mut outbox);
    assert_eq!(sent(&mut session, &mut outbox, 1_500), []);
    let welcomed = receive(&mut session, &mut outbox, &welcome(Some(3))).unwrap();
    assert_eq!(welcomed, Some(Incoming::Welcome(Welcome { utc_ms: 7, sequence: Some(3) })));
    assert_eq!(outbox.held(), 2);
    assert_eq!(sent(&mut session, &mut outbox, 1_500), [(4, None), (5, None)]);
}

#[test]
fn never_more_than_a_window_is_in_flight_but_one_batch_always() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 4_000], NoFlash);
    (0..20).for_each(|_| assert_eq!(push(&mut outbox, &[1; 9]), 0));
    let mut session = begin(&mut outbox);
    receive(&mut session, &mut outbox, &welcome(None)).unwrap();
    let first = sent(&mut session, &mut outbox, 1_500);
    assert!((2..10).contains(&first.len()), "{first:?}");
    assert!(outbox.in_flight_len() <= LIMITS.window_len);
    let ack = written(|out| encode_ack(2, out));
    let acknowledged = receive(&mut session, &mut outbox, &ack).unwrap();
    assert_eq!(acknowledged, Some(Incoming::Acknowledged { sequence: 2, batches: 2 }));
    assert_eq!(sent(&mut session, &mut outbox, 1_500).len(), 2);

    let mut outbox: InMemory = Outbox::mount(9, vec![0; 4_000], NoFlash);
    let long: Vec<i32> = (0..200).map(|n| n * n * 7 % 10_007).collect();
    (0..3).for_each(|_| assert_eq!(push(&mut outbox, &long), 0));
    let mut session = begin(&mut outbox);
    receive(&mut session, &mut outbox, &welcome(None)).unwrap();
    let mut out = [0; 1_024];
    assert!(session.next_message(&mut outbox, 0, &mut out).unwrap().is_some());
    assert!(session.next_message(&mut outbox, 0, &mut out).unwrap().is_none());
}

#[test]
fn what_was_dropped_is_told_with_the_next_batch_and_an_event_now_and_then() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 100], NoFlash);
    let mut session = begin(&mut outbox);
    receive(&mut session, &mut outbox, &welcome(None)).unwrap();
    push(&mut outbox, &[1; 9]);
    assert_eq!(sent(&mut session, &mut outbox, 1_500), [(1, None)]);
    let dropped: u64 = (0..9).map(|_| push(&mut outbox, &[1; 9])).sum();
    let oldest = outbox.oldest().unwrap();
    assert_eq!(oldest, dropped + 1);
    let told = sent(&mut session, &mut outbox, 2_000);
    assert_eq!(told[..2], [(0, None), (oldest, Some(oldest))]);
    assert!(told[2..].iter().all(|(_, oldest)| oldest.is_none()));
    // More is dropped: told each time, but by an event only once a minute.
    push(&mut outbox, &[1; 9]);
    assert_eq!(sent(&mut session, &mut outbox, 3_000), [(11, Some(oldest + 1))]);
    push(&mut outbox, &[1; 9]);
    assert_eq!(sent(&mut session, &mut outbox, 62_000), [(0, None), (12, Some(oldest + 2))]);
}

#[test]
fn settings_are_handed_on_and_unknown_messages_skipped() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 100], NoFlash);
    let mut session = begin(&mut outbox);
    let configure = written(|out| encode_configure(Some(500), &[(2, 4_000)], out));
    let stream = [welcome(None), vec![0x82, 0x18, 99, 0xa1, 0, 0x43, 1, 2, 3], configure].concat();
    // Byte by byte.
    let mut came = Vec::new();
    for byte in stream.chunks(1) {
        came.extend(receive(&mut session, &mut outbox, byte).unwrap());
    }
    assert!(matches!(came[0], Incoming::Welcome(_)));
    let Incoming::Configure(settings) = came[1] else { panic!("{came:?}") };
    assert_eq!(
        (settings.batch_ms(), settings.interval_us(2), settings.interval_us(0)),
        (Some(500), Some(4_000), None)
    );
    assert!(settings != Settings::default() && came.len() == 2);
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    let hello = Hello { boot: 1, profile: "p", firmware: "1", time_ms: 0, oldest: None, past: false };
    let samples = Samples { index: 0, interval_us: 50_000, delay_us: 0, scale: 0, values: &[1] };
    let event = Event { code: 1, text: &"t".repeat(EVENT_TEXT_LEN_MAX), time_ms: 0 };
    let wrong = |name| SessionError::WrongDirection { name };
    let out_of_turn = |name| SessionError::OutOfTurn { name };
    let ack = |sequence| written(|out| encode_ack(sequence, out));
    let welcomed = |more: Vec<u8>| [welcome(None), more].concat();
    let announced = [&[0x82, 17, 0xa1, 0, 0x5a, 0, 1, 0, 0][..]].concat();
    let cases = [
        (written(|out| encode_hello(&hello, out)), wrong("Hello")),
        (welcomed(written(|out| encode_batch(1, 0, None, &[samples], out))), wrong("Batch")),
        (welcomed(written(|out| encode_event(&event, out))), wrong("Event")),
        (ack(1), out_of_turn("Ack")),
        (written(|out| encode_configure(Some(1), &[], out)), out_of_turn("Configure")),
        (welcomed(welcome(None)), out_of_turn("Welcome")),
        // Two were pushed, none was sent.
        (welcome(Some(3)), SessionError::NeverSent { sequence: 3, sent: 2 }),
        (welcomed(ack(1)), SessionError::NeverSent { sequence: 1, sent: 0 }),
        (b"HTTP/1.1 400".to_vec(), SessionError::Message(BatchError::NotAMessage { at: 0 })),
        (announced, SessionError::Message(BatchError::TooLong { at: 4 })),
        (
            welcomed([&[0x82, 0x18, 99, 0xa1, 0, 0x59, 3, 0][..], &[0; 768]].concat()),
            SessionError::TooLong { max: 512 },
        ),
    ];
    for (bytes, expected) in cases {
        let mut outbox: InMemory = Outbox::mount(9, vec![0; 100], NoFlash);
        (0..2).for_each(|_| assert_eq!(push(&mut outbox, &[1]), 0));
        let mut session = begin(&mut outbox);
        let mut rest = &bytes[..];
        let error = loop {
            match session.receive(&mut outbox, 2_000, &mut rest) {
                Ok(incoming) => assert!(incoming.is_some(), "{expected} did not come"),
                Err(error) => break error,
            }
        };
        assert_eq!(error, expected);
        assert_eq!(outbox.held(), 2, "{expected}");
    }
}

#[test]
fn a_server_that_says_nothing_is_left_at_its_deadline() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 100], NoFlash);
    let mut session = begin(&mut outbox);
    assert_eq!(session.deadline_ms(), Some(11_500));
    assert_eq!(session.check(11_499), Ok(()));
    assert_eq!(session.check(11_500), Err(SessionError::NotWelcomed { ms_max: 10_000 }));
    receive(&mut session, &mut outbox, &welcome(None)).unwrap();
    assert_eq!(session.deadline_ms(), None, "nothing is on its way");
    (0..2).for_each(|_| assert_eq!(push(&mut outbox, &[1]), 0));
    sent(&mut session, &mut outbox, 20_000);
    assert_eq!(session.check(50_000), Err(SessionError::NotAcknowledged { ms_max: 30_000 }));
    session.receive(&mut outbox, 49_000, &mut &written(|out| encode_ack(1, out))[..]).unwrap();
    assert_eq!(session.deadline_ms(), Some(79_000));
    session.receive(&mut outbox, 49_000, &mut &written(|out| encode_ack(2, out))[..]).unwrap();
    assert_eq!(session.deadline_ms(), None);
}

#[test]
fn a_batch_that_the_server_refuses_is_sent_three_times_and_told_by_an_event() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 1_000], NoFlash);
    (0..4).for_each(|_| assert_eq!(push(&mut outbox, &[1]), 0));
    let refused = Refused { code: 3, text: "no channel 9", sequence: Some(2) };
    let refusal = written(|out| encode_refused(&refused, out));
    for times in 1..=3 {
        let mut session = begin(&mut outbox);
        receive(&mut session, &mut outbox, &welcome(None)).unwrap();
        assert!(sent(&mut session, &mut outbox, 1_500).contains(&(2, None)));
        let is_given_up = times == 3;
        let expected = SessionError::Refused { sequence: Some(2), code: 3, is_given_up };
        assert_eq!(receive(&mut session, &mut outbox, &refusal), Err(expected));
    }
    let mut session = begin(&mut outbox);
    receive(&mut session, &mut outbox, &welcome(None)).unwrap();
    let mut out = [0; 256];
    let event = session.next_message(&mut outbox, 1_500, &mut out).unwrap().unwrap();
    let Some((Message::Event(event), _)) = decode(&out[..event.len()]).unwrap() else { panic!("no event") };
    assert_eq!(
        (event.code, event.text),
        (event_code::BATCH_REFUSED, "batch 2 was refused 3 times, reason 3: given up")
    );
    assert_eq!(sent(&mut session, &mut outbox, 1_500), [(1, None), (3, None), (4, None)]);
}

#[test]
fn a_refusal_of_the_hello_counts_against_no_batch() {
    let mut outbox: InMemory = Outbox::mount(9, vec![0; 1_000], NoFlash);
    assert_eq!(push(&mut outbox, &[1]), 0);
    let refused = Refused { code: 2, text: "no profile is called so", sequence: None };
    let refusal = written(|out| encode_refused(&refused, out));
    for _ in 0..9 {
        let mut session = begin(&mut outbox);
        let expected = SessionError::Refused { sequence: None, code: 2, is_given_up: false };
        assert_eq!(receive(&mut session, &mut outbox, &refusal), Err(expected));
    }
    assert_eq!((outbox.held(), outbox.given_up()), (1, 0));
}
