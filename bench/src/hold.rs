//! Connections that are opened and then held, in a process of its own, to see what they cost the server.
//! Never sends more than one sample on each.

use std::io::{BufRead, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};

use crate::enrolment::{SAMPLE_JSON, secret, source_address};
use crate::link;
use crate::load::{Shape, sample};
use crate::process::Talking;
use crate::psk::{Connection, Connector, Identity};

/// Devices with indices from here on are never enrolled.
const STRANGERS_FROM: usize = 10_000_000;
/// How long the server may take to turn a stranger away.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection does before it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Opening {
    /// Connects and sends nothing.
    Silent,
    /// Sends one frame of an enrolled device.
    Frame,
    /// Sends one frame that no enrolled key fits, and waits to be turned away; not held.
    Stranger,
    /// TLS-PSK, CONNECT and one sample in MQTT.
    Psk,
    /// TLS-PSK, `Hello` and `Welcome`.
    Link,
    /// The first flight of a TLS handshake of our devices, and then nothing.
    StalledLink,
    /// The same of the peer's.
    StalledPsk,
}

/// Arguments of the hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HoldArguments {
    #[arg(long)]
    pub(crate) target: SocketAddr,
    #[arg(long)]
    pub(crate) opening: Opening,
    #[arg(long)]
    pub(crate) count: usize,
    /// Connection `i` is of device `first + i * stride`.
    #[arg(long)]
    pub(crate) first: usize,
    #[arg(long)]
    pub(crate) stride: usize,
    /// The keys of our devices on the secure link.
    #[arg(long)]
    pub(crate) links: Option<PathBuf>,
}

/// How many connections are open, and how many the server has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) open: usize,
    pub(crate) closed: usize,
}

/// The process that holds them, as the measuring side sees it. Dropping it closes them all.
pub(crate) struct Holder {
    talking: Talking,
}

impl Holder {
    /// Returns when every connection has done its opening.
    pub(crate) fn open(arguments: HoldArguments) -> Result<Self> {
        let opening = arguments.opening.to_possible_value().context("every opening has a name")?;
        let mut words = vec![
            "hold".into(),
            "--target".into(),
            arguments.target.to_string(),
            "--opening".into(),
            opening.get_name().to_owned(),
            "--count".into(),
            arguments.count.to_string(),
            "--first".into(),
            arguments.first.to_string(),
            "--stride".into(),
            arguments.stride.to_string(),
        ];
        if let Some(links) = &arguments.links {
            words.extend(["--links".into(), links.display().to_string()]);
        }
        let mut talking = Talking::spawn("the holder of connections", &words, "")?;
        talking.listen()?;
        Ok(Self { talking })
    }

    pub(crate) fn held(&mut self) -> Result<Held> {
        Ok(serde_json::from_value(self.talking.ask()?)?)
    }
}

/// The holder's process itself: answers each line on standard input with a [`Held`].
pub(crate) fn serve(arguments: HoldArguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = open_all(&arguments).await?;
        println!("{{\"ready\":true}}");
        // One question at a time: the asker waits for each answer.
        let (sender, mut questions) = mpsc::channel(1);
        thread::spawn(move || {
            for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(()).is_err() {
                    break;
                }
            }
        });
        while questions.recv().await.is_some() {
            let open = streams.iter_mut().filter(|stream| stream.is_open()).count();
            let held = Held { open, closed: arguments.count - open };
            println!("{}", serde_json::to_string(&held)?);
        }
        Ok(())
    })
}

enum Stream {
    Plain(TcpStream),
    Psk(Box<Connection>),
    TurnedAway,
}

impl Stream {
    fn is_open(&self) -> bool {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Psk(connection) => connection.get_ref(),
            Self::TurnedAway => return false,
        };
        // Bytes that wait (TLS session tickets) are of no interest.
        match stream.try_read(&mut [0; 4_096]) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

async fn open_all(arguments: &HoldArguments) -> Result<Vec<Stream>> {
    let connector = Connector::new()?;
    let links = arguments.links.as_deref().map(link::read).transpose()?.unwrap_or_default();
    let mut streams = Vec::with_capacity(arguments.count);
    for place in 0..arguments.count {
        let index = arguments.first + place * arguments.stride;
        let stream = open(arguments, &connector, &links, place, index).await;
        streams.push(stream.with_context(|| format!("connection {place} of {}", arguments.count))?);
    }
    Ok(streams)
}

async fn open(
    arguments: &HoldArguments,
    connector: &Connector,
    links: &[Identity],
    place: usize,
    index: usize,
) -> Result<Stream> {
    let source = source_address(place);
    if arguments.opening == Opening::Psk {
        // Of its own, as one identity may hold several connections here, and a broker ends the older of two with the
        // same client id.
        let client_id = format!("held-{place}");
        let mut connection = connector.connect(index, &client_id, source, arguments.target).await?;
        for write in sample(index, Shape::SevenInOne, None)? {
            connection.write_all(&write).await?;
        }
        return Ok(Stream::Psk(Box::new(connection)));
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind(source)?;
    let mut stream = socket.connect(arguments.target).await?;
    // Else each handshake waits 40 ms for a delayed acknowledgement, and the first connections grow too old.
    stream.set_nodelay(true)?;
    match arguments.opening {
        Opening::Silent | Opening::Psk => {}
        Opening::Link => {
            let device = link::Device::greet(connector, link::key(links, index)?, stream, 1).await?;
            return Ok(Stream::Psk(Box::new(device.stream)));
        }
        Opening::StalledLink => {
            stream.write_all(&connector.first_flight(link::key(links, index)?)?).await?;
        }
        Opening::StalledPsk => stream.write_all(&connector.first_flight(Identity::of_peer(index))?).await?,
        Opening::Frame => stream.write_all(&frame(index)?).await?,
        Opening::Stranger => {
            stream.write_all(&frame(STRANGERS_FROM + index)?).await?;
            let turned_away = timeout(TURN_AWAY_TIMEOUT, stream.read(&mut [0])).await;
            // A reset is as good an end as a close.
            let _ = turned_away.context("the server keeps a connection that no key fits")?;
            return Ok(Stream::TurnedAway);
        }
    }
    Ok(Stream::Plain(stream))
}

/// One sample as the device `index` encrypts it.
fn frame(index: usize) -> Result<Vec<u8>> {
    let (key, iv) = secret(index);
    let mut out = vec![0; FRAME_LEN_MAX];
    let encoder = FrameEncoder::new(&CbcSecret::new(key, iv), Variant::Chained);
    let length = encoder.encode(SAMPLE_JSON.as_bytes(), &mut out).context("a sample fits a frame")?;
    out.truncate(length);
    Ok(out)
}
