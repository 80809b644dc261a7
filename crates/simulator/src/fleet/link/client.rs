//! One software device on the secure link: measures on schedule, connects, delivers, connects again.
//!
//! Two duties in one task: measuring never waits for the network. The connection reads and writes at once; it ends when
//! either does, and what it did not deliver is in the outbox still.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_io_async::{BufRead as _, Write as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use vitalwire_device::backoff::BackoffLimits;
use vitalwire_device::session::SessionError;

use super::super::network::{self, CLOSE_WAIT_MS_MAX};
use super::super::retry::Retry;
use super::super::schedule::Schedule;
use super::super::source::Source;
use super::super::{DeviceClock, FleetConfig, FleetError, FleetObserver};
use super::core::{Core, Plan};
use super::tls::{self, Buffers, Reader, Tls, TlsError, Writer};
use super::{LINK_RATE_HZ_MAX, LINK_RATE_HZ_MIN, Link};

/// A handshake that takes longer has failed, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 10_000;
/// How often the deadlines of a connection are looked at, at least, in milliseconds.
const WATCH_EVERY_MS: u64 = 1_000;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why a connection was closed in order.
enum Done {
    /// An earlier boot's batches are delivered: connect again for the next.
    Boot,
    /// Everything is.
    All,
}

/// Why no connection came to be.
#[derive(Debug, thiserror::Error)]
enum NotConnected {
    #[error(transparent)]
    Network(#[from] std::io::Error),
    #[error("TLS handshake: {0}; does the server know this link id with this key?")]
    Handshake(TlsError),
    #[error("TLS handshake took longer than {HANDSHAKE_MS_MAX} ms")]
    Slow,
}

pub(in crate::fleet) struct LinkDevice {
    place: usize,
    id: String,
    link: Link,
    connect_at: Instant,
    finish_within: Duration,
    retry: BackoffLimits,
    addresses: Arc<[SocketAddr]>,
    observer: Arc<FleetObserver>,
    core: Mutex<Core>,
    /// There may be more to send, or nothing any more.
    more: Notify,
    /// When to measure has changed.
    configured: Notify,
}

impl LinkDevice {
    pub(in crate::fleet) fn new(
        config: &FleetConfig,
        place: usize,
        (id, link): (&str, &Link),
        schedule: &Schedule,
        addresses: Arc<[SocketAddr]>,
        observer: Arc<FleetObserver>,
    ) -> Result<Self, FleetError> {
        let rate_hz = config.rate_hz;
        if !(LINK_RATE_HZ_MIN..=LINK_RATE_HZ_MAX).contains(&rate_hz) {
            return Err(FleetError::LinkRate { rate_hz });
        }
        let seed = config.device_seed(place);
        let first = schedule.at(0).into_std();
        // Some way into the life of a clock; boots are never drawn from a seed, for no two may be the same.
        let clock = DeviceClock { boot: rand::random(), origin: first, origin_us: seed % 100_000_000_000 };
        let interval_us = interval_us(rate_hz);
        let end_us = config
            .samples_per_device()
            .map(|samples| clock.origin_us.saturating_add(samples.saturating_mul(interval_us.into())));
        let core = Core::new(Plan {
            place,
            id,
            source: Source::of(config, place),
            clock,
            start_us: clock.origin_us,
            interval_us,
            end_us,
            options: config.link.clone(),
            observer: Arc::clone(&observer),
        });
        let core = core.map_err(|error| FleetError::Link { id: id.to_owned(), reason: error.to_string() })?;
        Ok(Self {
            place,
            id: id.to_owned(),
            link: link.clone(),
            connect_at: schedule.connect_at(),
            finish_within: Duration::from_millis(config.link.finish_ms_max.into()),
            retry: config.link.retry,
            addresses,
            observer,
            core: Mutex::new(core),
            more: Notify::new(),
            configured: Notify::new(),
        })
    }

    /// Lives until everything is delivered, or for a while after its last sample or `stop`.
    pub(in crate::fleet) async fn run(self, stop: CancellationToken, seed: u64) {
        let measured = async {
            self.measure(stop).await;
            sleep(self.finish_within).await;
        };
        tokio::select! {
            biased;
            () = self.deliver(Retry::new(self.retry, seed)) => {}
            () = measured => {}
        }
        self.observer.disconnected(self.place);
        self.core().save();
    }

    /// The core is whole at every moment a panic could happen, so a poisoned lock is as good as any.
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn measure(&self, stop: CancellationToken) {
        loop {
            let Some(due) = self.core().next_due() else { break };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.configured.notified() => {}
                () = sleep_until(due.into()) => {
                    if self.core().measure(std::time::Instant::now()) {
                        self.more.notify_one();
                    }
                }
            }
        }
        self.core().end(std::time::Instant::now());
        self.more.notify_one();
    }

    async fn deliver(&self, mut retry: Retry) {
        let mut connect_at = self.connect_at;
        while self.wait_until(connect_at).await {
            let connecting = Instant::now();
            let ended = match self.connect().await {
                Ok(stream) => self.serve(stream, connecting).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(Ok(Done::All)) => return,
                Ok(Ok(Done::Boot)) => {
                    connect_at = Instant::now();
                    continue;
                }
                Ok(Err(lost)) => {
                    debug!(device = %self.id, %lost, "connection lost");
                    retry.failed(connecting.elapsed());
                }
                Err(error) => {
                    debug!(device = %self.id, %error, "cannot connect");
                    self.observer.connect_failed(self.place, &error);
                    retry.failed(Duration::ZERO);
                }
            }
            connect_at = Instant::now() + retry.wait();
        }
    }

    /// False when there is nothing left to connect for.
    async fn wait_until(&self, moment: Instant) -> bool {
        loop {
            if self.core().is_delivered() {
                return false;
            }
            tokio::select! {
                () = sleep_until(moment) => return true,
                () = self.more.notified() => {}
            }
        }
    }

    async fn connect(&self) -> Result<Arc<TcpStream>, NotConnected> {
        self.observer.connect_started(self.place, std::time::Instant::now());
        Ok(Arc::new(network::connected(&self.addresses).await?))
    }

    /// From the handshake to the end of the connection.
    async fn serve(
        &self,
        stream: Arc<TcpStream>,
        connecting: Instant,
    ) -> Result<Result<Done, Lost>, NotConnected> {
        let mut buffers = Box::new(Buffers::default());
        let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
        let shaken = timeout(limit, tls::handshake(Arc::clone(&stream), &self.link, &mut buffers)).await;
        let mut tls = shaken.map_err(|_| NotConnected::Slow)?.map_err(NotConnected::Handshake)?;
        self.observer.connected(self.place, connecting.into_std(), std::time::Instant::now());
        let ended = self.converse(&mut tls).await;
        if ended.is_ok() {
            // What was acknowledged needs no more words; the close is a courtesy with a limit.
            let _ = timeout(Duration::from_millis(CLOSE_WAIT_MS_MAX), tls.close()).await;
            if let Some(stream) = Arc::into_inner(stream) {
                network::close(stream).await;
            }
        }
        self.observer.disconnected(self.place);
        Ok(ended)
    }

    async fn converse(&self, tls: &mut Tls<'_>) -> Result<Done, Lost> {
        let mut buffer = vec![0; self.core().message_len_max()];
        let len = self.core().begin(std::time::Instant::now(), &mut buffer)?;
        tls.write_all(buffer.get(..len).unwrap_or_default()).await?;
        tls.flush().await?;
        let (reader, writer) = tls.split();
        tokio::select! {
            biased;
            lost = self.read(reader) => Err(lost),
            done = self.write(writer, &mut buffer) => done,
            lost = self.watch() => Err(lost),
        }
    }

    /// Takes in what the server sends, until the connection ends.
    async fn read(&self, mut reader: Reader<'_>) -> Lost {
        loop {
            let taken = match reader.fill_buf().await {
                Ok(bytes) => {
                    self.core().receive(std::time::Instant::now(), bytes).map(|is| (is, bytes.len()))
                }
                Err(error) => return error.into(),
            };
            match taken {
                Ok((is_configured, len)) => {
                    reader.consume(len);
                    self.more.notify_one();
                    if is_configured {
                        self.configured.notify_one();
                    }
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Sends what may go out, until everything is delivered or the connection ends.
    async fn write(&self, mut writer: Writer<'_>, buffer: &mut [u8]) -> Result<Done, Lost> {
        loop {
            // Messages that go out together share records.
            loop {
                let next = self.core().next_message(std::time::Instant::now(), buffer)?;
                let Some(len) = next else { break };
                writer.write_all(buffer.get(..len).unwrap_or_default()).await?;
            }
            writer.flush().await?;
            {
                let mut core = self.core();
                if core.is_delivered() {
                    return Ok(Done::All);
                }
                if core.is_finished() {
                    return Ok(Done::Boot);
                }
            }
            self.more.notified().await;
        }
    }

    /// Returns when the server has said nothing for too long.
    async fn watch(&self) -> Lost {
        loop {
            let deadline = self.core().deadline().map(Instant::from_std);
            let look_at = Instant::now() + Duration::from_millis(WATCH_EVERY_MS);
            sleep_until(deadline.map_or(look_at, |deadline| deadline.min(look_at))).await;
            if let Err(error) = self.core().check(std::time::Instant::now()) {
                return error.into();
            }
        }
    }
}

/// Microseconds from sample to sample.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 2 ms and an hour: checked before"
)]
fn interval_us(rate_hz: f64) -> u32 {
    (1e6 / rate_hz).round() as u32
}
