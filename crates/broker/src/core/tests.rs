use std::collections::HashSet;
use std::task::Waker;

use bytes::Bytes;

use super::filters::matches;
use super::log::{Log, LogLimits};
use super::session::{Capacity, End};
use super::turn::{RetainHandling, Turn, Wish};
use super::*;
use crate::message::{Lane, PerLane};
use crate::wire::{Answer, Frame, frame};

mod model;
mod replay;

const LIMITS: CoreLimits = CoreLimits {
    log: LogLimits { messages_max: 1_000, bytes_max: 1 << 20 },
    subscriptions_max: 3,
    sessions_per_user_max: 3,
    session_expiry_s_max: 100,
    retained_max: 3,
    retained_bytes_max: 1 << 20,
    direct_max: 4,
    out_bytes_max: 1 << 20,
    topics_bytes_max: 1 << 20,
};

fn core_of(limits: CoreLimits) -> Core {
    Core::new(limits, Log::new(limits.log, 0))
}

fn core() -> Core {
    core_of(LIMITS)
}

const WISH: Wish =
    Wish { qos: 1, no_local: false, retain_as_published: false, retained: RetainHandling::Always, id: 0 };

fn newcomer(client_id: &str) -> Newcomer {
    let capacity =
        Capacity { v5: false, window_max: 3, packet_bytes_max: usize::MAX, out_bytes_max: 1 << 20 };
    Newcomer {
        client_id: client_id.into(),
        user: "ana".into(),
        clean: false,
        expiry_s: 50,
        will: None,
        capacity,
    }
}

fn publication(topic: &str, text: &str) -> Publication {
    Publication::new(topic.into(), Bytes::copy_from_slice(text.as_bytes()))
}

/// What a client has read: text, QoS, packet id, DUP; or the packet id of a PUBREL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Message { text: String, qos: u8, packet_id: u16, dup: bool, retain: bool },
    Release(u16),
}

/// A random source that repeats itself from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = u64::from(std::process::id()) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

struct Client {
    at: At,
    id: String,
}

impl Client {
    fn connect(core: &mut Core, newcomer: Newcomer) -> (Self, Connected) {
        let id = newcomer.client_id.to_string();
        let connected = core.connect(newcomer).unwrap();
        (Self { at: connected.at, id }, connected)
    }

    fn new(core: &mut Core, id: &str, filters: &[&str]) -> Self {
        let (client, _) = Self::connect(core, newcomer(id));
        for filter in filters {
            core.subscribe(client.at, filter, WISH).unwrap();
        }
        client
    }

    /// Everything that it can get now.
    fn read(&self, core: &mut Core) -> Vec<Got> {
        let mut got = Vec::new();
        loop {
            let mut buffer = Vec::new();
            match core.turn(self.at, &self.id, &mut buffer, Waker::noop()) {
                Turn::Write { more, .. } => {
                    got.extend(decode(&buffer));
                    if !more && buffer.is_empty() {
                        return got;
                    }
                }
                Turn::End(end) => panic!("ended: {end:?}"),
            }
        }
    }

    /// The texts of everything, which it acknowledges until nothing more comes.
    fn read_all(&self, core: &mut Core) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let got = self.read(core);
            if got.is_empty() {
                return texts;
            }
            for got in got {
                if let Got::Message { text, qos, packet_id, .. } = got {
                    texts.push(text);
                    if qos > 0 {
                        core.answered(self.at, Answer::Acknowledged, packet_id);
                    }
                }
            }
        }
    }

    fn leave(self, core: &mut Core) {
        core.leave(self.at, Leaving::default());
    }
}

fn decode(mut bytes: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    while !bytes.is_empty() {
        let Frame::Other { len } = frame(bytes, usize::MAX) else { panic!("no packet: {bytes:?}") };
        let (packet, rest) = bytes.split_at(len);
        bytes = rest;
        let header = packet.iter().skip(1).position(|byte| byte & 0x80 == 0).unwrap() + 2;
        let id = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        if packet[0] == 0x62 {
            got.push(Got::Release(id(header)));
            continue;
        }
        let qos = packet[0] >> 1 & 3;
        let topic_end = header + 2 + usize::from(id(header));
        let (packet_id, payload) = if qos > 0 { (id(topic_end), topic_end + 2) } else { (0, topic_end) };
        let text = String::from_utf8(packet[payload..].to_vec()).unwrap();
        got.push(Got::Message { text, qos, packet_id, dup: packet[0] & 8 != 0, retain: packet[0] & 1 != 0 });
    }
    got
}

fn texts(got: &[Got]) -> Vec<&str> {
    got.iter()
        .filter_map(|got| match got {
            Got::Message { text, .. } => Some(text.as_str()),
            Got::Release(_) => None,
        })
        .collect()
}

fn publish(core: &mut Core, topic: &str, text: &str) {
    core.publish(publication(topic, text));
    core.flush();
}

#[test]
fn a_full_window_makes_the_rest_wait_in_order_and_acknowledgements_bring_it() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a/#"]);
    for number in 0..7 {
        publish(&mut core, "a/b", &number.to_string());
    }
    assert_eq!(texts(&client.read(&mut core)), ["0", "1", "2"]);
    core.answered(client.at, Answer::Acknowledged, 1);
    publish(&mut core, "a/b", "7");
    assert_eq!(texts(&client.read(&mut core)), ["3"], "what waits is not overtaken");
    for id in [2, 3, 4] {
        core.answered(client.at, Answer::Acknowledged, id);
    }
    assert_eq!(client.read_all(&mut core), ["4", "5", "6", "7"]);
    assert_eq!(core.lag(), (1, 0, 0));
}

#[test]
fn a_session_gets_what_it_missed_and_again_what_it_did_not_acknowledge() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a/#"]);
    for text in ["0", "1"] {
        publish(&mut core, "a/b", text);
    }
    assert_eq!(texts(&client.read(&mut core)), ["0", "1"]);
    core.answered(client.at, Answer::Acknowledged, 1);
    client.leave(&mut core);
    for text in ["2", "3", "4"] {
        publish(&mut core, "a/b", text);
    }
    publish(&mut core, "other", "x");
    assert_eq!(core.lag(), (1, 1, 3));
    assert_eq!(core.behind(), [("display".into(), "ana".into(), 3)]);
    let (client, connected) = Client::connect(&mut core, newcomer("display"));
    assert!(connected.present);
    let got = client.read(&mut core);
    assert_eq!(texts(&got), ["1", "2", "3"]);
    let Got::Message { packet_id, dup, .. } = &got[0] else { panic!("{got:?}") };
    assert_eq!((*packet_id, *dup), (2, true), "the same packet id, as a duplicate");
    assert!(matches!(&got[1], Got::Message { dup: false, .. }));
    for got in got {
        let Got::Message { packet_id, .. } = got else { panic!("{got:?}") };
        core.answered(client.at, Answer::Acknowledged, packet_id);
    }
    assert_eq!(client.read_all(&mut core), ["4"]);
    core.release();
    assert!(core.log.is_empty(), "nothing is kept that no one needs");
}

#[test]
fn a_thousand_absent_sessions_keep_one_copy() {
    let limits = CoreLimits { sessions_per_user_max: 2_000, ..LIMITS };
    let mut core = core_of(limits);
    for number in 0..1_000 {
        Client::new(&mut core, &number.to_string(), &["a/#"]).leave(&mut core);
    }
    for number in 0..10 {
        publish(&mut core, "a/b", &number.to_string());
    }
    assert_eq!(core.log.len_from(Lane::Others, 0), 10);
    let (client, _) = Client::connect(&mut core, newcomer("999"));
    assert_eq!(client.read_all(&mut core).len(), 10);
}

#[test]
fn exactly_once_takes_four_steps_and_goes_on_where_it_was() {
    let mut core = core();
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    core.subscribe(client.at, "a", Wish { qos: 2, ..WISH }).unwrap();
    core.publish(Publication { qos: 2, ..publication("a", "x") });
    core.flush();
    assert!(matches!(client.read(&mut core)[..], [Got::Message { qos: 2, packet_id: 1, .. }]));
    core.answered(client.at, Answer::Acknowledged, 1);
    core.answered(client.at, Answer::Received, 1);
    assert_eq!(client.read(&mut core), [Got::Release(1)]);
    client.leave(&mut core);
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert_eq!(client.read(&mut core), [Got::Release(1)], "not the message");
    core.answered(client.at, Answer::Completed, 1);
    assert_eq!(core.sessions.get(client.at.session).unwrap().window.len(), 0);
    // An id that is not known is answered, so that the client comes to an end with it.
    core.answered(client.at, Answer::Received, 77);
    assert_eq!(client.read(&mut core), [Got::Release(77)]);
}

#[test]
fn a_refused_message_of_qos_2_is_done() {
    let mut core = core();
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    core.subscribe(client.at, "a", Wish { qos: 2, ..WISH }).unwrap();
    core.publish(Publication { qos: 2, ..publication("a", "x") });
    core.flush();
    client.read(&mut core);
    core.answered(client.at, Answer::Refused, 1);
    assert!(core.sessions.get(client.at.session).unwrap().window.is_empty());
}

#[test]
fn what_was_sent_once_is_sent_again_even_if_it_expired() {
    let mut core = core();
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    core.subscribe(client.at, "a", Wish { qos: 2, ..WISH }).unwrap();
    for (text, qos) in [("once", 2), ("at least once", 1)] {
        core.publish(Publication { qos, expires_s: Some(5), ..publication("a", text) });
    }
    core.flush();
    assert_eq!(client.read(&mut core).len(), 2);
    client.leave(&mut core);
    core.now_s += 10;
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert_eq!(texts(&client.read(&mut core)), ["once", "at least once"]);
    core.answered(client.at, Answer::Received, 1);
    assert_eq!(client.read(&mut core), [Got::Release(1)]);
}

#[test]
fn topics_that_are_remembered_take_no_more_than_they_may() {
    let limits = CoreLimits { topics_bytes_max: 10_000, ..LIMITS };
    let mut core = core_of(limits);
    let clients = ["one", "two", "three"].map(|id| Client::new(&mut core, id, &["#"]));
    let mut most = 0;
    for number in 0..1_000 {
        publish(&mut core, &format!("{number}/{}", "x".repeat(100)), "x");
        if number == 500 {
            core.unsubscribe(clients[0].at, "#");
        }
        let names: usize = core.index.keys().map(|name| name.len()).sum();
        most = most.max(names);
        assert!(core.topics_bytes >= names);
    }
    assert!(most > 1_000 && most < 10_000 + 103, "{most}");
    assert!(clients[1].read(&mut core).len() == 3, "and messages go to their receivers");
}

#[test]
fn a_topic_is_found_whichever_came_before_it_and_whoever_names_it() {
    let mut core = core();
    let names: Vec<Arc<str>> = ["a/1", "a/2", "b/1"].map(Arc::from).into();
    let readers: Vec<_> = names.iter().map(|name| Client::new(&mut core, name, &[name])).collect();
    let mut dice = Dice::new();
    for number in 0..500 {
        let at = dice.below(names.len());
        // Its publisher's name of the topic, or that of one who came later.
        let name = if dice.below(4) == 0 { Arc::from(&*names[at]) } else { Arc::clone(&names[at]) };
        let text = number.to_string();
        core.publish(Publication::new(name, Bytes::from(text.clone())));
        core.flush();
        for (reader, name) in readers.iter().zip(&names) {
            let expected = if *name == names[at] { vec![text.clone()] } else { vec![] };
            assert_eq!(reader.read_all(&mut core), expected, "{name}");
        }
    }
}

#[test]
fn an_identifier_is_not_given_twice_while_it_is_under_way() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a"]);
    publish(&mut core, "a", "kept");
    let read = |core: &mut Core| match client.read(core)[..] {
        [Got::Message { packet_id, .. }] => packet_id,
        ref got => panic!("{got:?}"),
    };
    assert_eq!(read(&mut core), 1);
    for wanted in 2..=u16::MAX {
        publish(&mut core, "a", "x");
        let packet_id = read(&mut core);
        assert_eq!(packet_id, wanted);
        core.answered(client.at, Answer::Acknowledged, packet_id);
    }
    publish(&mut core, "a", "waits");
    assert_eq!(client.read(&mut core), []);
    core.answered(client.at, Answer::Acknowledged, 1);
    assert_eq!(texts(&client.read(&mut core)), ["waits"]);
}

#[test]
fn a_message_of_a_shared_subscription_stays_with_its_member() {
    let mut core = core();
    let [one, other] = ["one", "other"].map(|id| {
        let (client, _) = Client::connect(&mut core, newcomer(id));
        core.subscribe(client.at, "$share/g/a", Wish { qos: 2, ..WISH }).unwrap();
        client
    });
    let send = |core: &mut Core, text: &str| {
        core.publish(Publication { qos: 2, ..publication("a", text) });
        core.flush();
    };
    send(&mut core, "refused");
    assert!(matches!(one.read(&mut core)[..], [Got::Message { qos: 2, packet_id: 1, .. }]));
    core.answered(one.at, Answer::Refused, 1);
    assert_eq!((one.read(&mut core), other.read(&mut core)), (vec![], vec![]));
    send(&mut core, "of the other");
    assert_eq!(texts(&other.read(&mut core)), ["of the other"]);
    send(&mut core, "comes again");
    assert_eq!(texts(&one.read(&mut core)), ["comes again"]);
    one.leave(&mut core);
    let (one, _) = Client::connect(&mut core, newcomer("one"));
    assert!(
        matches!(&one.read(&mut core)[..], [Got::Message { text, dup: true, .. }] if text == "comes again")
    );
    let (one, _) = Client::connect(&mut core, Newcomer { clean: true, ..newcomer("one") });
    assert_eq!((one.read(&mut core), other.read(&mut core)), (vec![], vec![]), "its session is gone");
}

#[test]
fn a_shared_subscription_has_the_qos_that_it_was_granted() {
    let mut core = core();
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    core.subscribe(client.at, "$share/g/a", Wish { qos: 0, ..WISH }).unwrap();
    publish(&mut core, "a", "x");
    assert!(matches!(client.read(&mut core)[..], [Got::Message { qos: 0, .. }]));
}

#[test]
fn retained_messages_come_with_a_subscription_as_it_asks() {
    let mut core = core();
    for (topic, text) in [("a/b", "1"), ("a/c", "2"), ("ab", "3"), ("x", "too many")] {
        core.publish(Publication { retain: true, ..publication(topic, text) });
    }
    core.flush();
    assert_eq!(core.retained("#").count(), 3);
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    let subscribe = |core: &mut Core, filter: &str, retained| {
        let wish = Wish { retained, ..WISH };
        if core.subscribe(client.at, filter, wish).unwrap() {
            core.send_retained(client.at, filter, wish);
        }
        client.read_all(core)
    };
    assert_eq!(subscribe(&mut core, "a/+", RetainHandling::IfNew), ["1", "2"]);
    assert_eq!(subscribe(&mut core, "a/+", RetainHandling::IfNew), Vec::<String>::new());
    assert_eq!(subscribe(&mut core, "a/+", RetainHandling::Always), ["1", "2"]);
    assert_eq!(subscribe(&mut core, "ab", RetainHandling::Never), Vec::<String>::new());
    assert_eq!(subscribe(&mut core, "$share/g/ab", RetainHandling::Always), Vec::<String>::new());
    core.publish(Publication { retain: true, ..publication("a/b", "") });
    core.flush();
    assert_eq!(client.read_all(&mut core), [""]);
    assert_eq!(core.retained("a/#").count(), 1);
}

#[test]
fn retained_messages_take_no_more_bytes_than_they_may() {
    let retain = |core: &mut Core, topic: &str, text: &str| {
        core.publish(Publication { retain: true, ..publication(topic, text) });
    };
    let kept = |core: &Core| -> Vec<String> {
        core.retained("#").map(|of| String::from_utf8(of.payload.to_vec()).unwrap()).collect()
    };
    let one = publication("a", "1").footprint();
    let mut core = core_of(CoreLimits { retained_max: 100, retained_bytes_max: 2 * one + 8, ..LIMITS });
    let client = Client::new(&mut core, "display", &["#"]);
    for (topic, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        retain(&mut core, topic, text);
    }
    assert_eq!((kept(&core), core.stats().not_retained), (vec!["1".to_owned(), "2".to_owned()], 1));
    assert_eq!(client.read_all(&mut core), ["1", "2", "3"], "it is delivered all the same");
    // One that grows within the room, and one that does not: what it replaces is no longer true.
    retain(&mut core, "a", "123456789");
    assert_eq!(kept(&core), ["123456789", "2"]);
    retain(&mut core, "b", "22");
    assert_eq!((kept(&core), core.stats().not_retained), (vec!["123456789".to_owned()], 2));
    // What is cleared, erased or expires makes room.
    retain(&mut core, "a", "");
    retain(&mut core, "c", "3");
    core.publish(Publication { retain: true, expires_s: Some(5), ..publication("d", "4") });
    core.now_s = 6;
    core.sweep();
    core.erase(|topic| topic == "c");
    assert_eq!((core.retained_bytes, kept(&core)), (0, Vec::new()));
    core.restore_retained(publication("r", "5"));
    assert_eq!(core.retained_bytes, publication("r", "5").footprint());
}

/// 100 sessions of one reader, all away, and a stream that none of them takes.
#[test]
fn absent_sessions_of_one_reader_hold_no_more_than_the_log_may() {
    let limits = CoreLimits { sessions_per_user_max: 100, ..LIMITS };
    let mut core = core_of(limits);
    for number in 0..100 {
        Client::new(&mut core, &number.to_string(), &["#", "a/+", "a/b"]).leave(&mut core);
    }
    assert_eq!(core.connect(newcomer("one more")).unwrap_err(), Claimed::TooMany);
    for number in 0..20_000 {
        publish(&mut core, &format!("a/{}", number % 50), &format!("{number:01000}"));
    }
    let LogLimits { messages_max, bytes_max } = limits.log;
    let held = |core: &Core| core.sessions.all().map(|of| of.window.len() + of.direct.len()).sum::<usize>();
    assert_eq!((held(&core), core.out_bytes), (0, 0), "a session that is away is a position");
    let logged = core.log.len_from(Lane::Others, 0);
    assert!(logged <= messages_max && logged * 1_000 <= bytes_max, "{logged}");
    assert!(core.topics_bytes <= limits.topics_bytes_max);
    let (sessions, behind, most) = core.lag();
    assert_eq!((sessions, behind, most), (100, 100, logged));
    assert_eq!(core.stats().sent, Sent { sent: 0, dropped: 20_000 - logged as u64 });
    // Those who come back get what is left, in order.
    let (client, _) = Client::connect(&mut core, newcomer("7"));
    let got = client.read_all(&mut core);
    let wanted: Vec<_> = (20_000 - logged..20_000).map(|number| format!("{number:01000}")).collect();
    assert_eq!(got, wanted);
}

#[test]
fn a_retained_message_of_many_goes_on_when_there_is_room() {
    let limits = CoreLimits { retained_max: 100, ..LIMITS };
    let mut core = core_of(limits);
    for number in 10..60 {
        core.publish(Publication {
            retain: true,
            ..publication(&format!("a/{number}"), &number.to_string())
        });
    }
    let client = Client::new(&mut core, "display", &["a/#"]);
    core.send_retained(client.at, "a/#", WISH);
    publish(&mut core, "a/60", "60");
    let wanted: Vec<_> = (10..=60).map(|number| number.to_string()).collect();
    assert_eq!(client.read_all(&mut core), wanted, "and what comes meanwhile comes after");
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member_who_has_room() {
    let mut core = core();
    let one = Client::new(&mut core, "one", &["$share/g/a"]);
    let other = Client::new(&mut core, "other", &["$share/g/a"]);
    for number in 0..4 {
        publish(&mut core, "a", &number.to_string());
    }
    assert_eq!(texts(&one.read(&mut core)), ["0", "2"]);
    assert_eq!(texts(&other.read(&mut core)), ["1", "3"]);
    other.leave(&mut core);
    for number in 4..8 {
        publish(&mut core, "a", &number.to_string());
    }
    assert_eq!(one.read_all(&mut core), ["4", "5", "6", "7"]);
    one.leave(&mut core);
    publish(&mut core, "a", "no one is here");
    assert_eq!(core.log.end(), 0);
}

#[test]
fn a_publisher_does_not_get_its_own_message_where_it_asked_for_that() {
    let mut core = core();
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    core.subscribe(client.at, "a", Wish { no_local: true, ..WISH }).unwrap();
    core.publish(Publication { origin: client.at.serial, ..publication("a", "own") });
    publish(&mut core, "a", "of another");
    assert_eq!(client.read_all(&mut core), ["of another"]);
    // Nor when it was retained, nor its own will.
    core.publish(Publication { origin: client.at.serial, retain: true, ..publication("a", "kept") });
    core.subscribe(client.at, "a", Wish { no_local: true, ..WISH }).unwrap();
    core.send_retained(client.at, "a", Wish { no_local: true, ..WISH });
    assert!(client.read(&mut core).is_empty());
    let will = Some(Will { publication: publication("a", "gone"), delay_s: 0, expiry_s: None });
    let (client, _) = Client::connect(&mut core, Newcomer { will, ..newcomer("display") });
    let will = core.leave(client.at, Leaving::default()).unwrap();
    core.publish(will.publication);
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert!(client.read(&mut core).is_empty());
}

#[test]
fn a_client_id_is_its_users_and_another_connection_takes_it_over() {
    let mut core = core();
    let first = Client::new(&mut core, "display", &["a"]);
    let other = Newcomer { user: "bob".into(), ..newcomer("display") };
    assert_eq!(core.connect(other).unwrap_err(), Claimed::Owner("ana".into()));
    let (second, connected) = Client::connect(&mut core, newcomer("display"));
    assert!(connected.present);
    let turn = core.turn(first.at, "display", &mut Vec::new(), Waker::noop());
    assert_eq!(turn, Turn::End(End::TakenOver));
    // The connection that lost it ends later, and takes nothing away.
    first.leave(&mut core);
    publish(&mut core, "a", "x");
    assert_eq!(second.read_all(&mut core), ["x"]);
    let (third, connected) = Client::connect(&mut core, Newcomer { clean: true, ..newcomer("display") });
    assert!(!connected.present);
    publish(&mut core, "a", "y");
    assert_eq!(third.read_all(&mut core), Vec::<String>::new());
    for id in ["two", "three"] {
        Client::new(&mut core, id, &[]);
    }
    assert_eq!(core.connect(newcomer("four")).unwrap_err(), Claimed::TooMany);
}

#[test]
fn wills_are_due_at_once_or_after_their_delay_or_never() {
    let will = |delay_s| Will { publication: publication("w", "gone"), delay_s, expiry_s: None };
    let mut core = core();
    let connect = |core: &mut Core, delay_s| {
        Client::connect(core, Newcomer { will: Some(will(delay_s)), ..newcomer("display") }).0
    };
    let client = connect(&mut core, 0);
    assert!(core.leave(client.at, Leaving::default()).is_some());
    let client = connect(&mut core, 0);
    assert!(core.leave(client.at, Leaving { in_good_order: true, ..Leaving::default() }).is_none());
    let client = connect(&mut core, 10);
    assert!(core.leave(client.at, Leaving::default()).is_none());
    // The clock shows whole seconds: at ten, nine and a bit may have passed.
    core.now_s += 10;
    assert!(core.sweep().is_empty());
    // It comes back in time: nothing was lost, nothing is told.
    let client = connect(&mut core, 10);
    assert!(core.leave(client.at, Leaving::default()).is_none());
    core.now_s += 11;
    assert_eq!(core.sweep().len(), 1);
    let client = connect(&mut core, 99);
    core.leave(client.at, Leaving { expiry_s: Some(20), ..Leaving::default() });
    core.now_s += 20;
    assert!(core.sweep().is_empty());
    core.now_s += 1;
    assert_eq!(core.sweep().len(), 1, "with the end of the session, which is earlier");
    assert_eq!(core.lag().0, 0);
    let _first = connect(&mut core, 0);
    let (_, connected) = Client::connect(&mut core, newcomer("display"));
    assert!(connected.will.is_some(), "the connection that was taken over leaves one");
}

#[test]
fn a_session_that_ends_with_its_connection_is_not_taken_over() {
    let mut core = core();
    let wish = Wish { qos: 0, ..WISH };
    let will = Some(Will { publication: publication("w", "gone"), delay_s: 10, expiry_s: None });
    let short = Newcomer { clean: true, expiry_s: 0, will, ..newcomer("display") };
    let (first, _) = Client::connect(&mut core, short);
    core.subscribe(first.at, "a", wish).unwrap();
    let (second, connected) = Client::connect(&mut core, newcomer("display"));
    assert!(!connected.present);
    assert!(connected.will.is_some(), "its session is over");
    publish(&mut core, "a", "x");
    assert!(second.read(&mut core).is_empty());
    // One whose time is over, and that no sweep has ended yet.
    core.subscribe(second.at, "a", wish).unwrap();
    second.leave(&mut core);
    core.now_s += 50;
    let (third, connected) = Client::connect(&mut core, newcomer("display"));
    assert!(connected.present);
    third.leave(&mut core);
    core.now_s += 51;
    assert!(!Client::connect(&mut core, newcomer("display")).1.present);
}

#[test]
fn a_stop_ends_a_connection_when_its_client_has_everything() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a"]);
    for number in 0..5 {
        publish(&mut core, "a", &number.to_string());
    }
    core.end_all(End::Stopping);
    let turn = |core: &mut Core| {
        let mut buffer = Vec::new();
        let turn = core.turn(client.at, "display", &mut buffer, Waker::noop());
        (turn, texts(&decode(&buffer)).len())
    };
    assert_eq!(turn(&mut core), (Turn::Write { more: false, ask: false }, 3));
    assert_eq!(turn(&mut core), (Turn::Write { more: false, ask: false }, 0), "the window is full");
    (1..=3).for_each(|id| core.answered(client.at, Answer::Acknowledged, id));
    assert_eq!(turn(&mut core), (Turn::Write { more: false, ask: false }, 2));
    assert_eq!(
        turn(&mut core),
        (Turn::Write { more: false, ask: false }, 0),
        "it has not said that it has them"
    );
    (4..=5).for_each(|id| core.answered(client.at, Answer::Acknowledged, id));
    assert_eq!(turn(&mut core), (Turn::End(End::Stopping), 0));
}

#[test]
fn sessions_end_at_their_time_and_those_without_one_with_their_connection() {
    let mut core = core();
    Client::connect(&mut core, Newcomer { expiry_s: 0, ..newcomer("short") }).0.leave(&mut core);
    assert_eq!(core.lag().0, 0);
    let (client, connected) = Client::connect(&mut core, Newcomer { expiry_s: u32::MAX, ..newcomer("long") });
    assert_eq!(connected.expiry_s, LIMITS.session_expiry_s_max);
    core.now_s += 1_000;
    core.sweep();
    assert_eq!(core.lag().0, 1, "it is connected");
    client.leave(&mut core);
    // The clock shows whole seconds: at a hundred, 99 and a bit may have passed.
    core.now_s += 100;
    core.sweep();
    assert_eq!(core.lag().0, 1);
    core.now_s += 1;
    core.sweep();
    assert_eq!(core.lag().0, 0);
}

#[test]
fn a_connection_that_a_kill_ended_ended_then_and_not_when_it_last_left() {
    let mut core = core();
    Client::new(&mut core, "display", &["a"]).leave(&mut core);
    core.now_s = 10;
    let _connected = Client::new(&mut core, "display", &["a"]);
    core.now_s = 1_000;
    let stored = crate::storage::Stored {
        sessions: core.rows(),
        log: core.log_rows(),
        now_s: 1_000,
        ..Default::default()
    };
    let mut core = Core::restored(LIMITS, stored, None);
    core.sweep();
    assert_eq!(core.lag().0, 1);
    core.now_s += 51;
    core.sweep();
    assert_eq!(core.lag().0, 0);
}

#[test]
fn readings_do_not_drive_out_statuses_and_who_reads_at_qos_0_keeps_nothing() {
    let mut core = core();
    Client::new(&mut core, "display", &["#"]).leave(&mut core);
    let (zero, _) = Client::connect(&mut core, newcomer("zero"));
    core.subscribe(zero.at, "#", Wish { qos: 0, ..WISH }).unwrap();
    zero.leave(&mut core);
    publish(&mut core, "status", "online");
    for number in 0..2_000 {
        core.publish(Publication { lane: Lane::Readings, ..publication("a/b", &number.to_string()) });
        core.flush();
    }
    assert_eq!(core.stats().sent.dropped, 1_000);
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    let got = client.read_all(&mut core);
    assert_eq!((got.len(), got[0].as_str(), got[1].as_str()), (1_001, "online", "1000"));
    core.release();
    assert!(core.log.is_empty(), "who reads at QoS 0 holds nothing back");
}

#[test]
fn what_expires_while_it_waits_is_not_sent() {
    let mut core = core();
    Client::new(&mut core, "display", &["a"]).leave(&mut core);
    for (text, expires_s) in [("short", Some(5)), ("long", Some(50)), ("for ever", None)] {
        core.publish(Publication { expires_s, ..publication("a", text) });
    }
    core.now_s = 10;
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert_eq!(client.read_all(&mut core), ["long", "for ever"]);
    core.publish(Publication { retain: true, expires_s: Some(15), ..publication("b", "kept") });
    assert_eq!(core.retained("#").count(), 1);
    core.now_s = 16;
    assert_eq!(core.retained("#").count(), 0);
    core.sweep();
    assert!(core.retained.is_empty());
}

#[test]
fn limits_of_subscriptions_and_of_a_packet_hold() {
    let mut core = core();
    let capacity = Capacity { packet_bytes_max: 20, ..newcomer("x").capacity };
    let (client, _) = Client::connect(&mut core, Newcomer { capacity, ..newcomer("display") });
    for filter in ["a", "b", "c"] {
        core.subscribe(client.at, filter, WISH).unwrap();
    }
    assert_eq!(core.subscribe(client.at, "d", WISH), Err(super::turn::Refused::TooMany));
    assert_eq!(core.subscribe(client.at, "a/#/b", WISH), Err(super::turn::Refused::NotAFilter));
    assert!(core.subscribe(client.at, "a", Wish { qos: 0, ..WISH }).is_ok(), "known ones change");
    for topic in ["a", "b"] {
        publish(&mut core, topic, &"x".repeat(100));
        publish(&mut core, topic, topic);
    }
    assert_eq!(client.read_all(&mut core), ["a", "b"]);
    assert_eq!(core.stats().sent, Sent { sent: 2, dropped: 2 });
}

#[test]
fn a_client_that_comes_back_with_less_room_for_a_packet_is_not_sent_larger_ones_again() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a"]);
    for text in ["1", &"x".repeat(100), "2"] {
        publish(&mut core, "a", text);
    }
    assert_eq!(client.read(&mut core).len(), 3);
    client.leave(&mut core);
    let capacity = Capacity { packet_bytes_max: 20, ..newcomer("x").capacity };
    let (client, _) = Client::connect(&mut core, Newcomer { capacity, ..newcomer("display") });
    assert_eq!(client.read_all(&mut core), ["1", "2"]);
    assert_eq!(core.stats().sent, Sent { sent: 3, dropped: 1 });
    core.release();
    assert!(core.log.is_empty(), "what it cannot take is not kept for it");
}

#[test]
fn a_client_that_takes_nothing_misses_qos_0_and_nothing_of_qos_1() {
    let mut core = core();
    let capacity = Capacity { out_bytes_max: 100, window_max: 1_000, ..newcomer("x").capacity };
    let (client, _) = Client::connect(&mut core, Newcomer { capacity, ..newcomer("display") });
    core.subscribe(client.at, "zero", Wish { qos: 0, ..WISH }).unwrap();
    core.subscribe(client.at, "one", WISH).unwrap();
    for number in 0..50 {
        publish(&mut core, "one", &number.to_string());
        publish(&mut core, "zero", "x");
    }
    assert!(core.stats().sent.dropped > 30);
    let got = client.read_all(&mut core);
    let ones: Vec<_> = got.iter().filter(|text| *text != "x").cloned().collect();
    assert_eq!(ones, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(core.out_bytes, 0);
}

#[test]
fn an_erasure_takes_a_device_out_of_everything() {
    let mut core = core();
    let client = Client::new(&mut core, "display", &["a/#", "b/#"]);
    core.publish(Publication { retain: true, ..publication("a/x", "secret") });
    publish(&mut core, "a/y", "secret");
    publish(&mut core, "b/y", "other");
    client.leave(&mut core);
    publish(&mut core, "a/z", "secret");
    publish(&mut core, "b/z", "other");
    // One retained, three in the log, and two of them on their way.
    assert!(core.erase(|topic| topic.starts_with("a/")) >= 4);
    assert_eq!(core.retained("#").count(), 0);
    let changes = core.take_changes();
    let text = format!("{changes:?}");
    assert!(!text.contains("secret") && !text.contains("a/y"), "{text}");
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert_eq!(client.read_all(&mut core), ["other", "other"]);
    publish(&mut core, "a/x", "new");
    assert_eq!(client.read_all(&mut core), Vec::<String>::new(), "subscriptions to it are gone");
}

#[test]
fn rights_that_are_taken_away_are_taken_out_of_sessions() {
    let mut core = core();
    Client::new(&mut core, "display", &["a/#", "b/#"]).leave(&mut core);
    publish(&mut core, "a/x", "1");
    publish(&mut core, "b/x", "2");
    assert_eq!(core.trim(|_, filter| Some(filter.starts_with("a/"))), 1);
    let (client, _) = Client::connect(&mut core, newcomer("display"));
    assert_eq!(client.read_all(&mut core), ["1"]);
    client.leave(&mut core);
    assert_eq!(core.trim(|_, _| None), 1);
    assert_eq!(core.lag().0, 0);
}

impl Core {
    /// Everything of the sessions, as the disk has it.
    fn rows(&mut self) -> Vec<crate::storage::SessionRow> {
        for session in self.sessions.all_mut() {
            session.changed = true;
        }
        self.take_changes().sessions
    }

    fn log_rows(&mut self) -> PerLane<Vec<(u64, Publication)>> {
        self.log.rewrite();
        let changes = self.log.take_changes().0;
        let rows = |changes: LogChanges| {
            changes.new.into_iter().map(|(at, of)| (at, Publication::clone(&of))).collect()
        };
        PerLane { readings: rows(changes.readings), others: rows(changes.others) }
    }
}
