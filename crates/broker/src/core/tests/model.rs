//! Random clients beside a model of what the standard wants them to get.

use super::*;

/// A client as the standard wants it: every message of its subscriptions that was published, in order.
#[derive(Default)]
struct Model {
    filters: HashSet<&'static str>,
    /// Texts that it is to get, the oldest first.
    due: Vec<String>,
    got: Vec<String>,
}

/// Clients that come and go, each beside its model.
struct World {
    core: Core,
    clients: Vec<(&'static str, Option<Client>, Model)>,
    number: u64,
    dice: Dice,
}

impl World {
    const TOPICS: [&str; 4] = ["a/b", "a/c", "b", "b/c"];
    const FILTERS: [&str; 5] = ["a/#", "+/c", "b", "#", "a/b"];
    // Topics are forgotten again and again.
    const LIMITS: CoreLimits = CoreLimits { subscriptions_max: 10, topics_bytes_max: 1_000, ..LIMITS };

    fn new() -> Self {
        let clients = ["one", "two", "three"].map(|name| (name, None, Model::default()));
        Self { core: core_of(Self::LIMITS), clients: clients.into(), number: 0, dice: Dice::new() }
    }

    fn step(&mut self) {
        let who = self.dice.below(self.clients.len());
        match self.dice.below(12) {
            0 => self.come_or_go(who),
            1 => self.subscribe_or_not(who),
            2 => self.kill(),
            3..6 => self.read(who),
            _ => self.publish(),
        }
    }

    fn come_or_go(&mut self, who: usize) {
        let (name, client, _) = &mut self.clients[who];
        match client.take() {
            Some(client) => client.leave(&mut self.core),
            None => *client = Some(Client::connect(&mut self.core, newcomer(name)).0),
        }
    }

    fn subscribe_or_not(&mut self, who: usize) {
        let filter = Self::FILTERS[self.dice.below(Self::FILTERS.len())];
        let (name, client, model) = &mut self.clients[who];
        let Some(here) = client.take() else { return };
        if model.filters.remove(filter) {
            self.core.unsubscribe(here.at, filter);
            // What waits for it may come or not (MQTT 5 §3.10.4): this model wants neither.
            (model.due, model.got) = Default::default();
            let here = come_again(&mut self.core, Some(here), name);
            here.read_all(&mut self.core);
            *client = Some(here);
        } else {
            self.core.subscribe(here.at, filter, WISH).unwrap();
            model.filters.insert(filter);
            *client = Some(here);
        }
    }

    /// Killed, and started again with what the disk has.
    fn kill(&mut self) {
        let next_number = self.core.take_changes().next_number;
        let (sessions, log) = (self.core.rows(), self.core.log_rows());
        let log_end = self.core.log.end();
        let stored = crate::storage::Stored { sessions, log, log_end, next_number, ..Default::default() };
        self.core = Core::restored(Self::LIMITS, stored, None);
        self.clients.iter_mut().for_each(|(_, client, _)| *client = None);
    }

    fn read(&mut self, who: usize) {
        let (_, Some(client), _) = &self.clients[who] else { return };
        let at = client.at;
        for got in client.read(&mut self.core) {
            let Got::Message { text, packet_id, dup, .. } = got else { panic!("{got:?}") };
            let got = &mut self.clients[who].2.got;
            if !(dup && got.contains(&text)) {
                got.push(text);
            }
            if self.dice.below(4) > 0 {
                self.core.answered(at, Answer::Acknowledged, packet_id);
            }
        }
    }

    fn publish(&mut self) {
        let topic = Self::TOPICS[self.dice.below(Self::TOPICS.len())];
        let lane = if topic.starts_with('a') { Lane::Readings } else { Lane::Others };
        let text = format!("{lane:?} {}", self.number);
        self.number += 1;
        self.core.publish(Publication { lane, ..publication(topic, &text) });
        self.core.flush();
        for (_, _, model) in &mut self.clients {
            if model.filters.iter().any(|filter| matches(filter, topic)) {
                model.due.push(text.clone());
            }
        }
    }

    fn check(&mut self) {
        for (name, client, model) in &mut self.clients {
            let here = come_again(&mut self.core, client.take(), name);
            let before = model.got.clone();
            let rest = here.read_all(&mut self.core).into_iter().filter(|text| !before.contains(text));
            model.got.extend(rest);
            assert_eq!(model.got, model.due, "{name} after {} messages", self.number);
            (model.due, model.got) = Default::default();
            *client = Some(here);
        }
        self.core.release();
        assert!(self.core.log.is_empty());
    }
}

/// Messages come and clients come and go, and the broker is killed; nothing of QoS 1 is missed, nothing comes out of order, and
/// only what was not acknowledged comes twice.
#[test]
fn random_clients_get_what_a_model_says() {
    let mut world = World::new();
    for _ in 0..40 {
        (0..500).for_each(|_| world.step());
        world.check();
    }
}

/// A new connection: what was not acknowledged comes again.
fn come_again(core: &mut Core, client: Option<Client>, name: &str) -> Client {
    if let Some(client) = client {
        client.leave(core);
    }
    Client::connect(core, newcomer(name)).0
}
