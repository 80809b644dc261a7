//! A server that remembers everything, and insists on PROTOCOL.md §4.2.

use std::collections::{BTreeMap, BTreeSet};

use vitalwire_protocol::batch::{Message, Welcome, decode, encode_ack, encode_welcome};

/// What is known of one boot.
#[derive(Debug, Default)]
pub(crate) struct Boot {
    /// Per sequence, the integers of the batch's first channel.
    pub(crate) held: BTreeMap<u64, Vec<i32>>,
    pub(crate) given_up: BTreeSet<u64>,
    /// Everything up to here is held or given up.
    settled: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) boots: BTreeMap<u64, Boot>,
    pub(crate) duplicates: u64,
    pub(crate) events: Vec<u16>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    boot: u64,
    last: Option<u64>,
}

impl Server {
    /// A new connection.
    pub(crate) fn connected(&mut self) {
        self.connection = None;
    }

    /// Takes one whole message.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let (message, len) = decode(bytes).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        match message {
            Message::Hello(hello) => {
                assert!(self.connection.is_none(), "a second Hello");
                self.connection = Some(Connection { boot: hello.boot, last: None });
                self.boots.entry(hello.boot).or_default().give_up_below(hello.oldest.unwrap());
            }
            Message::Batch(batch) => {
                let connection = self.connection.as_mut().expect("Hello comes first");
                assert!(connection.last < Some(batch.sequence), "out of order");
                connection.last = Some(batch.sequence);
                let boot = self.boots.entry(connection.boot).or_default();
                if let Some(oldest) = batch.oldest {
                    boot.give_up_below(oldest);
                }
                assert!(!boot.given_up.contains(&batch.sequence), "said to be gone, and came");
                let values = batch.channels().next().unwrap().values.collect();
                self.duplicates += u64::from(boot.held.insert(batch.sequence, values).is_some());
                boot.settle();
            }
            Message::Event(event) => self.events.push(event.code),
            other => panic!("a device does not send {other:?}"),
        }
    }

    fn boot(&mut self) -> &mut Boot {
        let boot = self.connection.as_ref().expect("connected").boot;
        self.boots.get_mut(&boot).unwrap()
    }

    pub(crate) fn welcome(&mut self) -> Vec<u8> {
        let settled = self.boot().settled;
        let welcome = Welcome { utc_ms: 1_795_556_251_123, sequence: (settled > 0).then_some(settled) };
        written(|out| encode_welcome(&welcome, out))
    }

    /// `None`: there is nothing to acknowledge.
    pub(crate) fn ack(&mut self) -> Option<Vec<u8>> {
        let settled = self.boot().settled;
        (settled > 0).then(|| written(|out| encode_ack(settled, out)))
    }
}

impl Boot {
    fn give_up_below(&mut self, oldest: u64) {
        self.given_up.extend((1..oldest).filter(|sequence| !self.held.contains_key(sequence)));
        self.settle();
    }

    fn settle(&mut self) {
        while self.held.contains_key(&(self.settled + 1)) || self.given_up.contains(&(self.settled + 1)) {
            self.settled += 1;
        }
    }
}

pub(crate) fn written(
    write: impl FnOnce(&mut [u8]) -> Result<usize, vitalwire_protocol::batch::BatchError>,
) -> Vec<u8> {
    let mut out = vec![0; 1_024];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}
