//! One software device that sends AES-CBC frames: connects, sends each sample when it is due, connects again when the connection ends.
//!
//! It never stores samples that wait: it keeps the number of the next one and makes it when it can be written.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, JSON_LEN_MAX, Variant, write_sample_json};

use super::network::{close, connected, peer_closed};
use super::retry::{self, Retry};
use super::schedule::Schedule;
use super::source::Source;
use super::{FleetConfig, FleetObserver};

/// Samples that may wait for a connection or for room in the socket; of more, the oldest are dropped and counted.
/// 3.2 s at 20 Hz.
pub const BACKLOG_SAMPLES_MAX: u64 = 64;
/// How long after its last sample was due a device may still try to deliver what waits, and, when it is stopped, to
/// finish the frame it is writing.
pub const FINISH_MS_MAX: u64 = 2_000;

/// Why a connection is no longer used.
enum Ended {
    /// Everything is sent, or the device was told to stop: close in order.
    Done,
    /// The gateway closed it, or the network failed.
    Lost(Option<io::Error>),
}

/// What became of trying to send.
enum Sending {
    UpToDate,
    /// The socket takes no more for now.
    Blocked,
}

pub(super) struct FrameDevice {
    place: usize,
    id: String,
    source: Source,
    encoder: FrameEncoder,
    schedule: Schedule,
    /// The sample to send next; those before it are sent or dropped.
    next: u64,
    /// What is still to be written of the frame of sample `next`.
    rest: Option<Vec<u8>>,
    retry: Retry,
    addresses: Arc<[SocketAddr]>,
    observer: Arc<FleetObserver>,
}

impl FrameDevice {
    pub(super) fn new(
        config: &FleetConfig,
        place: usize,
        (id, secret, variant): (&str, &CbcSecret, Variant),
        schedule: Schedule,
        addresses: Arc<[SocketAddr]>,
        observer: Arc<FleetObserver>,
    ) -> Self {
        let seed = config.device_seed(place);
        Self {
            place,
            id: id.to_owned(),
            source: Source::of(config, place),
            encoder: FrameEncoder::new(secret, variant),
            schedule,
            next: 0,
            rest: None,
            retry: Retry::new(retry::LIMITS, seed),
            addresses,
            observer,
        }
    }

    /// Lives until everything is sent or `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let deadline = self.schedule.last_at().map(|last| last + Duration::from_millis(FINISH_MS_MAX));
        let mut halt = pin!(halted(stop, deadline));
        while let Some(stream) = self.connect(halt.as_mut()).await {
            let connected = Instant::now();
            let ended = self.deliver(&stream, halt.as_mut()).await;
            self.observer.disconnected(self.place);
            match ended {
                Ended::Done => {
                    close(stream).await;
                    break;
                }
                Ended::Lost(error) => {
                    debug!(device = %self.id, ?error, "connection lost");
                    // The frame that was cut goes again, whole, on the next connection.
                    self.rest = None;
                    self.retry.failed(connected.elapsed());
                }
            }
        }
        let unsent = self.schedule.due(Instant::now()).saturating_sub(self.next);
        self.observer.dropped(self.place, unsent);
    }

    /// Tries until it is connected; `None` when there is nothing left to send, or it is to halt.
    async fn connect(&mut self, mut halt: Pin<&mut impl Future<Output = ()>>) -> Option<TcpStream> {
        while !self.schedule.is_over(self.next) {
            let try_at = self.schedule.connect_at().max(Instant::now() + self.retry.wait());
            tokio::select! {
                biased;
                () = &mut halt => return self.halt(),
                () = sleep_until(try_at) => {}
            }
            let started = Instant::now();
            self.observer.connect_started(self.place, started.into_std());
            let tried = tokio::select! {
                biased;
                () = &mut halt => return self.halt(),
                tried = connected(&self.addresses) => tried,
            };
            self.drop_beyond_backlog();
            match tried {
                Ok(stream) => {
                    self.observer.connected(self.place, started.into_std(), Instant::now().into_std());
                    return Some(stream);
                }
                Err(error) => {
                    debug!(device = %self.id, %error, "cannot connect");
                    self.observer.connect_failed(self.place, &error);
                    self.retry.failed(Duration::ZERO);
                }
            }
        }
        None
    }

    /// Sends samples as they become due, until the connection ends or there are no more.
    async fn deliver(&mut self, stream: &TcpStream, mut halt: Pin<&mut impl Future<Output = ()>>) -> Ended {
        let mut closed = pin!(peer_closed(stream));
        loop {
            let sending = match self.send_due(stream) {
                Ok(sending) => sending,
                Err(error) => return Ended::Lost(Some(error)),
            };
            if self.schedule.is_over(self.next) {
                return Ended::Done;
            }
            let (is_blocked, wake_at) = match sending {
                Sending::UpToDate => (false, self.schedule.at(self.next)),
                // Also wakes at each sample that becomes due, to keep the backlog within its limit.
                Sending::Blocked => (true, self.schedule.at(self.schedule.due(Instant::now()))),
            };
            tokio::select! {
                biased;
                () = &mut halt => {
                    self.finish(stream).await;
                    return Ended::Done;
                }
                error = &mut closed => return Ended::Lost(error),
                _ = stream.writable(), if is_blocked => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Writes every sample that is due, as far as the socket takes them.
    fn send_due(&mut self, stream: &TcpStream) -> io::Result<Sending> {
        self.drop_beyond_backlog();
        let due = self.schedule.due(Instant::now());
        while self.next < due {
            let is_written = match self.rest.take() {
                Some(rest) => self.write_rest(stream, rest)?,
                None => self.write_frame(stream)?,
            };
            if !is_written {
                return Ok(Sending::Blocked);
            }
            self.observer.written(self.place);
            self.next += 1;
        }
        Ok(Sending::UpToDate)
    }

    /// One frame, one write. `false`: the socket is full.
    fn write_frame(&mut self, stream: &TcpStream) -> io::Result<bool> {
        let (values, heart_rate) = self.source.values(self.schedule.seconds(self.next));
        let mut json = [0; JSON_LEN_MAX];
        let mut frame = [0; FRAME_LEN_MAX];
        let frame = framed(&self.encoder, &values, &mut json, &mut frame);
        self.observer.about_to_write(self.place, std::time::Instant::now(), values, heart_rate);
        match stream.try_write(frame) {
            Ok(written) if written > 0 => {
                self.write_rest(stream, frame.get(written..).unwrap_or_default().to_vec())
            }
            Ok(_) => {
                self.observer.not_written(self.place);
                Err(io::ErrorKind::WriteZero.into())
            }
            Err(error) => {
                self.observer.not_written(self.place);
                if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
            }
        }
    }

    /// The end of a frame whose beginning is written. `false`: the socket is full.
    fn write_rest(&mut self, stream: &TcpStream, mut rest: Vec<u8>) -> io::Result<bool> {
        while !rest.is_empty() {
            match stream.try_write(&rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(rest.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest = Some(rest);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Told to halt while not connected.
    fn halt(&mut self) -> Option<TcpStream> {
        self.schedule.end(Instant::now());
        None
    }

    /// Told to halt: what is due goes out if the socket takes it, and a frame that has begun is finished.
    async fn finish(&mut self, stream: &TcpStream) {
        self.schedule.end(Instant::now());
        let until_whole = async {
            // An error ends the connection, which is about to end anyway; the sample stays unsent and is counted.
            while matches!(self.send_due(stream), Ok(Sending::Blocked)) && self.rest.is_some() {
                if stream.writable().await.is_err() {
                    return;
                }
            }
        };
        // A gateway that does not read has had its time.
        let _ = timeout(Duration::from_millis(FINISH_MS_MAX), until_whole).await;
    }

    /// A frame that has begun is never dropped: its rest must follow.
    fn drop_beyond_backlog(&mut self) {
        if self.rest.is_some() {
            return;
        }
        let oldest_kept = self.schedule.due(Instant::now()).saturating_sub(BACKLOG_SAMPLES_MAX);
        if let Some(too_old) = oldest_kept.checked_sub(self.next).filter(|samples| *samples > 0) {
            self.observer.dropped(self.place, too_old);
            self.next = oldest_kept;
        }
    }
}

fn framed<'a>(encoder: &FrameEncoder, values: &[f64; 7], json: &mut [u8], frame: &'a mut [u8]) -> &'a [u8] {
    let length = write_sample_json(values, json)
        .expect("patients and recordings hold finite values that a sample has room for");
    let json = json.get(..length).unwrap_or_default();
    let length = encoder.encode(json, frame).expect("a sample's JSON fits a frame");
    frame.get(..length).unwrap_or_default()
}

/// Ready when `stop` is cancelled or the deadline has passed.
async fn halted(stop: CancellationToken, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(deadline) => {}
        },
        None => stop.cancelled().await,
    }
}
