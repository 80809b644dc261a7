//! Sessions that read in an archive what they missed, beside a model of what they are to get.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::*;
use crate::archive::{Archived, Page, Place};

/// A log that is soon too full, and sessions that stay.
const LIMITS: CoreLimits = CoreLimits {
    log: LogLimits { messages_max: 12, bytes_max: 1 << 20 },
    session_expiry_s_max: u32::MAX,
    sessions_per_user_max: 10,
    subscriptions_max: 10,
    ..super::LIMITS
};
/// Entries of a page.
const PAGE_ENTRIES: usize = 3;

/// One entry: where it stands, and its messages.
type Entry = (Arc<Place>, Vec<(&'static str, String)>);

/// An archive whose commits the test makes.
#[derive(Default)]
struct Shelf {
    under_way: VecDeque<Entry>,
    entries: BTreeMap<u64, Vec<(&'static str, String)>>,
    head: u64,
}

impl Shelf {
    /// Commits the oldest entry of the device, if there is one under way.
    fn commit(&mut self, device: &str) {
        let of_device = |(_, messages): &Entry| messages.iter().any(|(topic, _)| topic.starts_with(device));
        let Some(at) = self.under_way.iter().position(of_device) else { return };
        let (place, messages) = self.under_way.remove(at).unwrap();
        // Positions have holes.
        self.head += 1 + self.head % 2;
        self.entries.insert(self.head, messages);
        place.settle(self.head);
    }

    fn commit_all(&mut self) {
        for device in ["a", "b"] {
            while self.under_way.iter().any(|(_, messages)| messages[0].0.starts_with(device)) {
                self.commit(device);
            }
        }
    }

    fn read(&self, after: u64, wanted: impl Fn(&str) -> bool) -> Page {
        let entries: Vec<_> = self.entries.range(after + 1..).take(PAGE_ENTRIES).collect();
        let through = if entries.len() < PAGE_ENTRIES { self.head } else { *entries.last().unwrap().0 };
        let archived = |(position, messages): &(&u64, &Vec<(&str, String)>)| -> Vec<Archived> {
            let wanted = messages.iter().filter(|(topic, _)| wanted(topic));
            let archived = wanted.map(|(topic, text)| Archived {
                position: **position,
                topic: (*topic).into(),
                payload: Bytes::copy_from_slice(text.as_bytes()),
            });
            archived.collect()
        };
        let messages = entries.iter().flat_map(archived).collect();
        Page { messages, through: through.max(after), ..Page::default() }
    }
}

struct World {
    core: Core,
    shelf: Shelf,
}

impl World {
    fn new() -> Self {
        Self { core: Core::restored(LIMITS, Default::default(), Some(Some(0))), shelf: Shelf::default() }
    }

    /// With a session `display` of this subscription, whose client has been away for long.
    fn with_one_away(filter: &str) -> Self {
        let mut world = Self::new();
        let client = world.connect("display");
        world.core.subscribe(client.at, filter, WISH).unwrap();
        client.leave(&mut world.core);
        world.pass_time();
        world
    }

    fn connect(&mut self, id: &str) -> super::Client {
        super::Client::connect(&mut self.core, Newcomer { expiry_s: u32::MAX, ..newcomer(id) }).0
    }

    /// An entry with a message for each of these texts.
    fn publish(&mut self, topic: &'static str, texts: &[&str]) {
        let place = Arc::new(Place::default());
        self.core.begin_entry(&place);
        // As the gateway does it: what no one wants is not made.
        let wanted = if self.core.is_wanted(&topic.into()) { texts } else { &[] };
        for text in wanted {
            let publication = Publication { lane: Lane::Readings, ..publication(topic, text) };
            self.core.publish_at(publication, Some(&place));
        }
        self.core.flush();
        let messages = texts.iter().map(|text| (topic, (*text).to_owned())).collect();
        self.shelf.under_way.push_back((place, messages));
    }

    /// As the connection's task does it: what is asked for is read at once. Whether there was something.
    fn serve(&mut self, client: &super::Client) -> bool {
        let Some(ask) = self.core.ask(client.at) else { return false };
        let page = self.shelf.read(ask.after, ask.wanted);
        let is_new = page.through > ask.after;
        self.core.take_page(client.at, page, ask.erasures);
        is_new
    }

    /// What comes until nothing more does, acknowledged.
    fn read_all(&mut self, client: &super::Client) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let new = client.read_all(&mut self.core);
            let is_all = new.is_empty();
            texts.extend(new);
            if !self.serve(client) && is_all {
                // What the last page led to.
                texts.extend(client.read_all(&mut self.core));
                return texts;
            }
        }
    }

    /// Longer than readings are logged for those who are away.
    fn pass_time(&mut self) {
        self.core.now_s += 12;
        self.core.sweep();
    }

    /// Killed, and started again with what the disk has. Connections are gone, what was under way is committed.
    fn kill(&mut self) {
        let (sessions, changes) = self.core.rows_and_changes();
        let stored = crate::storage::Stored {
            sessions,
            log: self.core.log_rows(),
            log_end: changes.log_end,
            next_number: changes.next_number,
            now_s: changes.now_s,
            published: changes.published,
            ..Default::default()
        };
        self.shelf.commit_all();
        self.core = Core::restored(LIMITS, stored, Some(Some(self.shelf.head)));
    }
}

impl Core {
    fn rows_and_changes(&mut self) -> (Vec<crate::storage::SessionRow>, Changes) {
        for session in self.sessions.all_mut() {
            session.changed = true;
        }
        let mut changes = self.take_changes();
        (std::mem::take(&mut changes.sessions), changes)
    }
}

#[test]
fn who_is_away_for_long_costs_nothing_and_has_it_all_when_back() {
    let mut world = World::new();
    let client = world.connect("display");
    world.core.subscribe(client.at, "a/#", WISH).unwrap();
    client.leave(&mut world.core);
    world.publish("a/b", &["0"]);
    assert!(world.core.is_wanted(&"a/b".into()), "it may be back soon");
    assert_eq!(world.core.log.len_from(Lane::Readings, 0), 1);
    world.pass_time();
    assert!(!world.core.is_wanted(&"a/b".into()));
    for number in 1..100 {
        world.publish("a/b", &[&number.to_string()]);
        publish(&mut world.core, "a/status", "online");
    }
    world.core.release();
    assert_eq!(world.core.log.len_from(Lane::Readings, 0), 0);
    world.shelf.commit_all();
    let client = world.connect("display");
    let got = world.read_all(&client);
    let (statuses, readings): (Vec<_>, Vec<_>) = got.into_iter().partition(|text| text == "online");
    assert_eq!(readings, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(statuses.len(), 12, "of all else the log has what it has room for");
    assert_eq!(world.core.lag(), (1, 0, 0));
    world.publish("a/b", &["100"]);
    assert_eq!(client.read_all(&mut world.core), ["100"], "it has what is published as it comes");
}

#[test]
fn what_was_published_and_is_not_in_the_archive_yet_comes_once() {
    let mut world = World::with_one_away("+/b");
    world.publish("a/b", &["before"]);
    let client = world.connect("display");
    world.publish("a/b", &["1", "2"]);
    world.publish("b/b", &["3"]);
    // The later one is there first, and what was published before the client came is not.
    world.shelf.commit("b");
    assert_eq!(world.read_all(&client), ["3"]);
    world.shelf.commit("a");
    assert_eq!(world.read_all(&client), ["before", "1", "2"]);
    world.shelf.commit_all();
    assert_eq!(world.read_all(&client), Vec::<String>::new());
    assert_eq!(world.core.lag(), (1, 0, 0));
}

#[test]
fn what_the_archive_refuses_comes_to_who_is_there() {
    let mut world = World::with_one_away("a/#");
    let client = world.connect("display");
    world.publish("a/b", &["refused"]);
    world.shelf.under_way.pop_front().unwrap().0.give_up();
    assert_eq!(world.read_all(&client), ["refused"]);
    // And when someone misses it, it counts.
    world.core.release();
    client.leave(&mut world.core);
    for number in 0..20 {
        world.publish("a/b", &[&number.to_string()]);
        if number < 4 {
            world.shelf.under_way.pop_back().unwrap().0.give_up();
        }
    }
    assert_eq!(world.core.stats().sent.dropped, 4);
}

#[test]
fn a_log_that_is_too_full_makes_a_slow_client_read_the_archive() {
    let mut world = World::new();
    let client = world.connect("display");
    world.core.subscribe(client.at, "a/#", WISH).unwrap();
    for number in 0..100 {
        world.publish("a/b", &[&number.to_string()]);
        world.shelf.commit_all();
        world.core.note_published(world.shelf.head);
    }
    assert_eq!(world.read_all(&client), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!((world.core.stats().sent.dropped, world.core.lag()), (0, (1, 0, 0)));
}

#[test]
fn who_leaves_in_the_middle_of_an_entry_gets_the_rest_of_it() {
    let mut world = World::with_one_away("a/#");
    world.publish("a/b", &["1", "2", "3", "4", "5"]);
    world.shelf.commit_all();
    let client = world.connect("display");
    client.read(&mut world.core);
    world.serve(&client);
    assert_eq!(texts(&client.read(&mut world.core)), ["1", "2", "3"], "its window is full");
    client.leave(&mut world.core);
    let client = world.connect("display");
    // The first three again, as it did not acknowledge them; then the whole entry.
    assert_eq!(world.read_all(&client), ["1", "2", "3", "1", "2", "3", "4", "5"]);
}

#[test]
fn who_goes_has_had_what_was_published_before_though_that_shows_later() {
    let mut world = World::new();
    let client = world.connect("display");
    world.core.subscribe(client.at, "a/#", WISH).unwrap();
    world.publish("a/b", &["1"]);
    world.publish("a/b", &["2"]);
    assert_eq!(client.read_all(&mut world.core), ["1", "2"]);
    client.leave(&mut world.core);
    world.publish("a/b", &["3"]);
    world.core.sweep();
    world.shelf.commit_all();
    world.core.note_published(world.shelf.head);
    world.core.sweep();
    world.pass_time();
    let client = world.connect("display");
    assert_eq!(world.read_all(&client), ["3"]);
}

#[test]
fn who_was_slow_for_long_before_it_went_gets_all_that_it_had_not() {
    let mut world = World::new();
    let client = world.connect("display");
    world.core.subscribe(client.at, "a/#", WISH).unwrap();
    let mut got: Vec<String> = Vec::new();
    // Of what is published in 20 s it takes the first three.
    for number in 0..20 {
        world.publish("a/b", &[&number.to_string()]);
        world.shelf.commit_all();
        world.core.note_published(world.shelf.head);
        if number < 3 {
            got.extend(texts(&client.read(&mut world.core)).into_iter().map(str::to_owned));
        }
        world.core.now_s += 1;
        world.core.sweep();
    }
    assert_eq!(got, ["0", "1", "2"]);
    client.leave(&mut world.core);
    world.core.sweep();
    world.pass_time();
    let client = world.connect("display");
    let mut rest = world.read_all(&client);
    rest.dedup();
    assert!(rest.ends_with(&(3..20).map(|number| number.to_string()).collect::<Vec<_>>()), "{rest:?}");
}

#[test]
fn an_erasure_while_a_page_is_read_takes_the_device_out_of_it() {
    let mut world = World::new();
    let client = world.connect("display");
    for filter in ["a/b", "+/c"] {
        world.core.subscribe(client.at, filter, WISH).unwrap();
    }
    client.leave(&mut world.core);
    world.pass_time();
    world.publish("a/b", &["secret"]);
    world.publish("b/c", &["other"]);
    world.shelf.commit_all();
    let client = world.connect("display");
    client.read(&mut world.core);
    let ask = world.core.ask(client.at).unwrap();
    let page = world.shelf.read(ask.after, ask.wanted);
    assert_eq!(page.messages.len(), 2);
    world.shelf.entries.retain(|_, messages| messages[0].0 != "a/b");
    world.core.erase(|topic| topic.starts_with("a/"));
    world.core.take_page(client.at, page, ask.erasures);
    assert_eq!(world.read_all(&client), ["other"]);
}

#[test]
fn an_archive_that_begins_anew_is_read_from_its_beginning() {
    let mut world = World::new();
    let client = world.connect("display");
    world.core.subscribe(client.at, "a/#", WISH).unwrap();
    world.publish("a/b", &["0"]);
    world.shelf.commit_all();
    world.core.note_published(1);
    client.read_all(&mut world.core);
    world.core.note_published(77);
    world.shelf = Shelf::default();
    world.kill();
    world.publish("a/b", &["1"]);
    world.shelf.commit_all();
    let client = world.connect("display");
    assert_eq!(world.read_all(&client), ["1"]);
}

/// Random clients that come, go, stay away and are slow; entries that are committed later and in another order; kills.
struct Random {
    world: World,
    clients: Vec<(&'static str, Option<super::Client>, Expected)>,
    number: u64,
    dice: Dice,
}

#[derive(Default)]
struct Expected {
    filters: HashSet<&'static str>,
    due: Vec<String>,
    got: Vec<String>,
}

impl Random {
    const TOPICS: [&str; 4] = ["a/b", "a/c", "b/b", "b/c"];
    const FILTERS: [&str; 4] = ["a/#", "+/c", "b/b", "#"];

    fn new() -> Self {
        let clients = ["one", "two", "three"].map(|name| (name, None, Expected::default()));
        Self { world: World::new(), clients: clients.into(), number: 0, dice: Dice::new() }
    }

    fn step(&mut self) {
        let who = self.dice.below(self.clients.len());
        match self.dice.below(24) {
            0 | 1 => self.come_or_go(who),
            2 => self.subscribe(who),
            3 if self.dice.below(4) == 0 => {
                self.world.kill();
                self.clients.iter_mut().for_each(|(_, client, _)| *client = None);
            }
            4 => self.world.pass_time(),
            5..10 => self.read(who),
            10..16 => {
                let device = ["a", "b"][self.dice.below(2)];
                self.world.shelf.commit(device);
            }
            16 => {
                // The publisher has seen some of what is committed.
                let published = self.dice.below(usize::try_from(self.world.shelf.head).unwrap() + 1);
                self.world.core.note_published(published as u64);
            }
            17 => self.publish_other(),
            _ => self.publish(),
        }
    }

    fn come_or_go(&mut self, who: usize) {
        let (name, client, _) = &mut self.clients[who];
        match client.take() {
            Some(client) => client.leave(&mut self.world.core),
            None => *client = Some(self.world.connect(name)),
        }
    }

    fn subscribe(&mut self, who: usize) {
        let filter = Self::FILTERS[self.dice.below(Self::FILTERS.len())];
        let (_, Some(client), expected) = &mut self.clients[who] else { return };
        self.world.core.subscribe(client.at, filter, WISH).unwrap();
        expected.filters.insert(filter);
    }

    fn read(&mut self, who: usize) {
        let (_, Some(client), _) = &self.clients[who] else { return };
        let at = client.at;
        let read = client.read(&mut self.world.core);
        self.world.serve(client);
        for got in read {
            let Got::Message { text, packet_id, .. } = got else { panic!("{got:?}") };
            self.clients[who].2.got.push(text);
            if self.dice.below(4) > 0 {
                self.world.core.answered(at, Answer::Acknowledged, packet_id);
            }
        }
    }

    fn expect(&mut self, topic: &str, text: &str) {
        for (_, _, expected) in &mut self.clients {
            if expected.filters.iter().any(|filter| matches(filter, topic)) {
                expected.due.push(text.to_owned());
            }
        }
    }

    fn publish(&mut self) {
        let topic = Self::TOPICS[self.dice.below(Self::TOPICS.len())];
        let texts: Vec<_> = (0..1 + self.dice.below(3))
            .map(|_| {
                self.number += 1;
                format!("{topic} {}", self.number)
            })
            .collect();
        texts.iter().for_each(|text| self.expect(topic, text));
        self.world.publish(topic, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn publish_other(&mut self) {
        self.number += 1;
        let text = format!("other {}", self.number);
        // Few enough for the log between two checks.
        if self.number.is_multiple_of(8) {
            self.expect("a/status", &text);
            publish(&mut self.world.core, "a/status", &text);
        }
    }

    /// Nothing is missed, and each topic's messages come in order, but for those that come again.
    fn check(&mut self) {
        for who in 0..self.clients.len() {
            let (name, client, _) = &mut self.clients[who];
            // What it did not acknowledge comes again.
            if let Some(client) = client.take() {
                client.leave(&mut self.world.core);
            }
            let client = self.world.connect(name);
            self.world.shelf.commit_all();
            let rest = self.world.read_all(&client);
            let (name, here, expected) = &mut self.clients[who];
            expected.got.extend(rest);
            *here = Some(client);
            let mut seen = HashSet::new();
            let first: Vec<_> = expected.got.iter().filter(|text| seen.insert(*text)).collect();
            for topic in Self::TOPICS.iter().chain(&["other"]) {
                let of = |texts: &[&String]| -> Vec<String> {
                    let of_topic = texts.iter().filter(|text| text.starts_with(topic));
                    of_topic.map(|text| (*text).clone()).collect()
                };
                let due: Vec<_> = expected.due.iter().collect();
                let (got, due) = (of(&first), of(&due));
                // What was published before it subscribed may come, too, when it was not in the archive yet.
                let got: Vec<_> = got.into_iter().filter(|text| due.contains(text)).collect();
                assert_eq!(got, due, "{name}, {topic}, after {} messages", self.number);
            }
            expected.due.clear();
            expected.got.clear();
        }
        self.world.core.release();
    }
}

#[test]
fn random_clients_miss_nothing_of_the_archive() {
    let mut random = Random::new();
    for _ in 0..150 {
        (0..300).for_each(|_| random.step());
        random.check();
    }
}
