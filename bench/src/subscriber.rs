//! Subscribers: one or many at QoS 0 in a process of their own that counts, or one inside a load generator that times; and
//! such with a session that is kept while they are away.
//! Never subscribes to less than it was told: a filter that is not granted is an error.

use std::collections::HashSet;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::enrolment::device_id;
use crate::mqtt::{self, Packet, Session};
use crate::process::{SECRET_VARIABLE, Talking, wait_for};

/// How much is read at once: large, so that the subscriber's own CPU does not disturb what is measured.
const READ_BYTES: usize = 256 * 1_024;
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where and as whom to subscribe.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) address: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A granted subscription.
pub(crate) struct Subscription {
    stream: TcpStream,
    buffer: Vec<u8>,
    pending: Vec<u8>,
}

impl Subscription {
    /// Connects and subscribes at QoS 0.
    pub(crate) fn open(login: &Login, client_id: &str, filters: &[String]) -> Result<Self> {
        let (mut subscription, _) = Self::connect(login, client_id, Session::Clean)?;
        subscription.subscribe(filters, 0)?;
        Ok(subscription)
    }

    /// Connects, subscribes at QoS 1 with a session that is kept, and goes: what is published from now on waits.
    pub(crate) fn leave(login: &Login, client_id: &str, filters: &[String]) -> Result<()> {
        let (mut subscription, _) = Self::connect(login, client_id, Session::Kept)?;
        subscription.subscribe(filters, 1)?;
        subscription.stream.write_all(&mqtt::DISCONNECT)?;
        // The broker's end of the connection says that it knows.
        while subscription.read_more()? > 0 {}
        Ok(())
    }

    /// Comes back to a session that was left.
    pub(crate) fn come_back(login: &Login, client_id: &str) -> Result<Self> {
        let (subscription, resumed) = Self::connect(login, client_id, Session::Kept)?;
        ensure!(resumed, "the broker has no session of {client_id} any more");
        Ok(subscription)
    }

    /// Connects, retrying while the broker does not listen yet; and whether it had a session of this client.
    fn connect(login: &Login, client_id: &str, session: Session) -> Result<(Self, bool)> {
        let stream = wait_for(READY_TIMEOUT, || match TcpStream::connect(login.address) {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error.into()),
        })?
        .with_context(|| format!("no broker listens on {}", login.address))?;
        stream.set_nodelay(true)?;
        let mut subscription = Self { stream, buffer: vec![0; READ_BYTES], pending: Vec::new() };
        let connect = mqtt::connect(client_id, Some((&login.user, &login.password)), session)?;
        subscription.stream.write_all(&connect)?;
        match subscription.first()? {
            (Packet::ConnAck { code: 0, resumed }, length) => {
                subscription.consume(length);
                Ok((subscription, resumed))
            }
            (other, _) => bail!("the broker refused the login of {client_id}: {other:?}"),
        }
    }

    fn subscribe(&mut self, filters: &[String], qos: u8) -> Result<()> {
        self.stream.write_all(&mqtt::subscribe(filters, qos)?)?;
        // SUBACK may come behind retained messages.
        loop {
            let (packet, length) = self.first()?;
            match packet {
                Packet::SubAck(granted) => {
                    ensure!(granted, "the broker did not grant {filters:?}");
                    self.consume(length);
                    return Ok(());
                }
                _ => self.consume(length),
            }
        }
    }

    /// Hands on every message (topic, payload, retained) until the connection ends, and acknowledges those of QoS 1.
    pub(crate) fn run(mut self, mut on_message: impl FnMut(&[u8], &[u8], bool)) -> Result<()> {
        let mut acknowledgements = Vec::new();
        loop {
            let mut rest = self.pending.as_slice();
            while let Some((packet, length)) = mqtt::decode(rest)? {
                if let Packet::Publish { topic, payload, retained, id } = packet {
                    on_message(topic, payload, retained);
                    id.into_iter().for_each(|id| mqtt::acknowledge(id, &mut acknowledgements));
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            if !acknowledgements.is_empty() {
                self.stream.write_all(&acknowledgements)?;
                acknowledgements.clear();
            }
            let used = self.pending.len() - rest.len();
            self.consume(used);
            if self.read_more()? == 0 {
                return Ok(());
            }
        }
    }

    fn first(&mut self) -> Result<(Packet<'_>, usize)> {
        while mqtt::decode(&self.pending)?.is_none() {
            ensure!(self.read_more()? > 0, "the broker closed the subscriber's connection");
        }
        mqtt::decode(&self.pending)?.context("a packet was complete")
    }

    fn read_more(&mut self) -> Result<usize> {
        let length = self.stream.read(&mut self.buffer)?;
        self.pending.extend(self.buffer.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn consume(&mut self, length: usize) {
        self.pending.drain(..length);
    }
}

/// What the subscriber has seen since it subscribed, retained messages apart.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// All messages.
    pub(crate) messages: u64,
    /// Messages whose topic ends in the marker: one a sample.
    pub(crate) samples: u64,
    /// Devices that samples came from.
    pub(crate) devices: usize,
}

/// In a filter: a device's id.
pub(crate) const DEVICE: &str = "{device}";

/// The subscribers' process, as the measuring side holds it.
pub(crate) struct Subscriber {
    talking: Talking,
}

impl Subscriber {
    /// Starts the process with one subscriber and waits until its subscription is granted.
    pub(crate) fn start(login: &Login, filters: &[&str], marker: &str) -> Result<Self> {
        Self::start_many(login, 1, filters, marker)
    }

    /// The same with many subscribers: [`DEVICE`] in a filter is the device of each subscriber's number.
    pub(crate) fn start_many(login: &Login, count: usize, filters: &[&str], marker: &str) -> Result<Self> {
        let mut arguments = vec!["subscriber".into(), "--address".into(), login.address.to_string()];
        arguments.extend(["--user".into(), login.user.clone(), "--marker".into(), marker.into()]);
        arguments.extend(["--count".into(), count.to_string()]);
        arguments.extend(filters.iter().map(|filter| filter.to_string()));
        let mut talking = Talking::spawn("the subscriber", &arguments, &login.password)?;
        talking.listen()?;
        Ok(Self { talking })
    }

    pub(crate) fn seen(&mut self) -> Result<Seen> {
        Ok(serde_json::from_value(self.talking.ask()?)?)
    }

    /// Waits until samples of at least `devices` devices have come.
    pub(crate) fn wait_for_devices(&mut self, devices: usize, at_most: Duration) -> Result<()> {
        self.wait_until(at_most, |seen| seen.devices >= devices)
            .with_context(|| format!("waiting for samples of {devices} devices"))
    }

    /// Waits until at least `samples` samples have come.
    pub(crate) fn wait_for_samples(&mut self, samples: usize, at_most: Duration) -> Result<()> {
        self.wait_until(at_most, |seen| seen.samples >= samples as u64)
            .with_context(|| format!("waiting for {samples} samples"))
    }

    fn wait_until(&mut self, at_most: Duration, enough: impl Fn(Seen) -> bool) -> Result<()> {
        let mut seen = Seen::default();
        let found = wait_for(at_most, || {
            seen = self.seen()?;
            Ok(enough(seen).then_some(()))
        })?;
        let Seen { samples, devices, .. } = seen;
        found.with_context(|| {
            format!("{samples} samples of {devices} devices came in {} s", at_most.as_secs())
        })
    }
}

/// Arguments of the hidden subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct SubscriberArguments {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    user: String,
    #[arg(long)]
    marker: String,
    #[arg(long)]
    count: usize,
    filters: Vec<String>,
}

/// The subscribers' process itself: answers each line on standard input with what they have seen together.
pub(crate) fn serve(arguments: SubscriberArguments) -> Result<()> {
    let password = std::env::var(SECRET_VARIABLE)?;
    let login = Login { address: arguments.address, user: arguments.user, password };
    let counts = Arc::new(Mutex::new((Seen::default(), HashSet::new())));
    let mut readers = Vec::new();
    for number in 0..arguments.count {
        let filters: Vec<String> =
            arguments.filters.iter().map(|filter| filter.replace(DEVICE, &device_id(number))).collect();
        let subscription = Subscription::open(&login, &format!("bench-subscriber-{number}"), &filters)?;
        let (counts, marker) = (counts.clone(), arguments.marker.clone());
        readers.push(thread::spawn(move || {
            subscription.run(|topic, _, retained| {
                if !retained {
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    count(&mut counts, topic, marker.as_bytes());
                }
            })
        }));
    }
    println!("{{\"ready\":true}}");
    for line in std::io::stdin().lock().lines() {
        line?;
        let closed = readers.iter().any(|reader| reader.is_finished());
        ensure!(!closed, "the broker closed a subscriber's connection");
        let seen = {
            let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            Seen { devices: counts.1.len(), ..counts.0 }
        };
        println!("{}", serde_json::to_string(&seen)?);
    }
    Ok(())
}

fn count((seen, devices): &mut (Seen, HashSet<Vec<u8>>), topic: &[u8], marker: &[u8]) {
    seen.messages += 1;
    if topic.ends_with(marker) {
        seen.samples += 1;
        if let Some(device) = device_in(topic)
            && !devices.contains(device)
        {
            devices.insert(device.to_vec());
        }
    }
}

/// The device's id in `Pico/<id>/…` or `vitalwire/v1/<id>/…`.
pub(crate) fn device_in(topic: &[u8]) -> Option<&[u8]> {
    let mut levels = topic.split(|&byte| byte == b'/');
    match levels.next()? {
        b"vitalwire" => levels.nth(1),
        _ => levels.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_device_in_both_trees() {
        assert_eq!(device_in(b"Pico/dev_1/Physiological_Data/Temperature"), Some(&b"dev_1"[..]));
        assert_eq!(device_in(b"vitalwire/v1/dev_2/reading"), Some(&b"dev_2"[..]));
        assert_eq!(device_in(b"vitalwire"), None);
    }

    #[test]
    fn counts_samples_by_their_marker_and_devices_once() {
        let mut counts = (Seen::default(), HashSet::new());
        for topic in
            ["Pico/a/x/Temperature", "Pico/a/x/Pulse", "Pico/a/x/Temperature", "Pico/b/x/Temperature"]
        {
            count(&mut counts, topic.as_bytes(), b"/Temperature");
        }
        assert_eq!((counts.0.messages, counts.0.samples, counts.1.len()), (4, 3, 2));
    }
}
