//! The one subscriber at QoS 0: in a process of its own it counts, inside the load generator it times.
//! Never subscribes to less than it was told: a filter that is not granted is an error.

use std::collections::HashSet;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::mqtt::{self, Packet};
use crate::process::{SECRET_VARIABLE, Talking, wait_for};

/// How much is read at once: large, so that the subscriber's own CPU does not disturb what is measured.
const READ_BYTES: usize = 256 * 1_024;
const READY_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Connects and subscribes, retrying while the broker does not listen yet.
    pub(crate) fn open(login: &Login, filters: &[String]) -> Result<Self> {
        let stream = wait_for(READY_TIMEOUT, || match TcpStream::connect(login.address) {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error.into()),
        })?
        .with_context(|| format!("no broker listens on {}", login.address))?;
        stream.set_nodelay(true)?;
        let mut subscription = Self { stream, buffer: vec![0; READ_BYTES], pending: Vec::new() };
        let connect = mqtt::connect("bench-subscriber", Some((&login.user, &login.password)))?;
        subscription.stream.write_all(&connect)?;
        match subscription.first()? {
            (Packet::ConnAck(0), length) => subscription.consume(length),
            (other, _) => bail!("the broker refused the subscriber's login: {other:?}"),
        }
        subscription.stream.write_all(&mqtt::subscribe(filters)?)?;
        // SUBACK may come behind retained messages.
        loop {
            let (packet, length) = subscription.first()?;
            match packet {
                Packet::SubAck(granted) => {
                    ensure!(granted, "the broker did not grant {filters:?}");
                    subscription.consume(length);
                    return Ok(subscription);
                }
                _ => subscription.consume(length),
            }
        }
    }

    /// Hands on every message (topic, payload, retained) until the connection ends.
    pub(crate) fn run(mut self, mut on_message: impl FnMut(&[u8], &[u8], bool)) -> Result<()> {
        loop {
            let mut rest = self.pending.as_slice();
            while let Some((packet, length)) = mqtt::decode(rest)? {
                if let Packet::Publish { topic, payload, retained } = packet {
                    on_message(topic, payload, retained);
                }
                rest = rest.get(length..).unwrap_or_default();
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

/// The subscriber's process, as the measuring side holds it.
pub(crate) struct Subscriber {
    talking: Talking,
}

impl Subscriber {
    /// Starts the process and waits until its subscription is granted.
    pub(crate) fn start(login: &Login, filters: &[&str], marker: &str) -> Result<Self> {
        let mut arguments = vec!["subscriber".into(), "--address".into(), login.address.to_string()];
        arguments.extend(["--user".into(), login.user.clone(), "--marker".into(), marker.into()]);
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
    filters: Vec<String>,
}

/// The subscriber's process itself: answers each line on standard input with what it has seen.
pub(crate) fn serve(arguments: SubscriberArguments) -> Result<()> {
    let password = std::env::var(SECRET_VARIABLE)?;
    let login = Login { address: arguments.address, user: arguments.user, password };
    let subscription = Subscription::open(&login, &arguments.filters)?;
    let counts = Arc::new(Mutex::new((Seen::default(), HashSet::new())));
    let counted = counts.clone();
    let reader = thread::spawn(move || {
        subscription.run(|topic, _, retained| {
            if !retained {
                let mut counts = counted.lock().unwrap_or_else(PoisonError::into_inner);
                count(&mut counts, topic, arguments.marker.as_bytes());
            }
        })
    });
    println!("{{\"ready\":true}}");
    for line in std::io::stdin().lock().lines() {
        line?;
        ensure!(!reader.is_finished(), "the broker closed the subscriber's connection");
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
