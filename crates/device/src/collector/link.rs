//! One connection of the secure link: handshake, `Hello`, batches and acknowledgements at once (PROTOCOL.md §4).
//!
//! It ends when either direction does; what it did not deliver is in the outbox still.

use core::cell::RefCell;

use embassy_futures::select::{Either3, select3};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{BufRead as _, Read, Write};
use embedded_storage::nor_flash::NorFlash;
use rand_core::CryptoRngCore;
use vitalwire_protocol::batch::encode_event;

use super::{
    CLOSE_MS_MAX, Collector, Delivering, Done, Memory, Network, PROFILE, TroubleNews, WATCH_EVERY_MS,
};
use crate::clock::{Clock, within};
use crate::session::{self, Incoming, Session, SessionError};
use crate::status::Trouble;
use crate::tls::{self, PreSharedKey, Reader, Tls, TlsError, Writer};

/// A handshake that takes longer has failed, in milliseconds.
const HANDSHAKE_MS_MAX: u64 = 15_000;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl<N, C, M, R, F> Collector<'_, N, C, M, R, F>
where
    N: Network,
    C: Clock,
    M: RawMutex,
    R: AsRef<[u8]> + AsMut<[u8]>,
    F: NorFlash,
{
    /// From the handshake to the end of the connection.
    pub(super) async fn serve_link<S, G, T>(
        &self,
        socket: S,
        (id, key): (&[u8; 32], &[u8; 32]),
        rng: &mut G,
        memory: &mut Memory,
        delivering: &Delivering<'_, T>,
    ) -> Result<Done, Trouble>
    where
        S: Read + Write + Clone,
        G: CryptoRngCore,
        T: FnMut(TroubleNews),
    {
        let key = PreSharedKey { id, key };
        let shaken = tls::handshake(socket, key, rng, &mut memory.tls);
        let mut tls = match within(&self.clock, HANDSHAKE_MS_MAX, shaken).await {
            Ok(shaken) => shaken.map_err(|error| refusal(&error))?,
            Err(_) => return Err(Trouble::ServerSilent),
        };
        match self.converse(&mut tls, &mut memory.message, delivering).await {
            Ok(done) => {
                // What was acknowledged needs no more words.
                let _ = within(&self.clock, CLOSE_MS_MAX, tls.close()).await;
                Ok(done)
            }
            Err(Lost::Session(SessionError::Refused { .. })) => Err(Trouble::ServerRefuses),
            // A server that says good-bye before it said welcome does not want this device.
            Err(Lost::Tls(_)) if delivering.since_ms.get().is_none() => Err(Trouble::ServerRefuses),
            Err(_) => Err(Trouble::ServerSilent),
        }
    }

    async fn converse<S, T>(
        &self,
        tls: &mut Tls<'_, S>,
        buffer: &mut [u8],
        delivering: &Delivering<'_, T>,
    ) -> Result<Done, Lost>
    where
        S: Read + Write + Clone,
        T: FnMut(TroubleNews),
    {
        let identity = session::Identity {
            profile: PROFILE,
            firmware: self.firmware,
            started_ms: self.shared.started_ms(),
        };
        let begun = self.shared.with_outbox(|outbox| {
            Session::begin(outbox, &identity, self.limits.session, self.clock.now_ms(), buffer)
        });
        let (session, len) = begun?;
        tls.write_all(buffer.get(..len).unwrap_or_default()).await?;
        tls.flush().await?;
        // Borrowed only between waits.
        let session = RefCell::new(session);
        let (reader, writer) = tls.split();
        let read = self.read(reader, &session, delivering);
        let write = self.write(writer, &session, buffer);
        match select3(read, write, self.watch(&session, delivering)).await {
            Either3::First(lost) => Err(lost),
            Either3::Second(done) => done,
            Either3::Third(lost) => Err(lost.into()),
        }
    }

    /// Takes in what the server sends, until the connection ends.
    async fn read<S, T>(
        &self,
        mut reader: Reader<'_, S>,
        session: &RefCell<Session>,
        delivering: &Delivering<'_, T>,
    ) -> Lost
    where
        S: Read + Write + Clone,
        T: FnMut(TroubleNews),
    {
        loop {
            let taken = match reader.fill_buf().await {
                Ok(bytes) => self.take(bytes, session, delivering).map(|()| bytes.len()),
                Err(error) => return error.into(),
            };
            match taken {
                Ok(len) => reader.consume(len),
                Err(error) => return error.into(),
            }
            // The window may be open again.
            self.shared.wake();
        }
    }

    fn take<T: FnMut(TroubleNews)>(
        &self,
        mut bytes: &[u8],
        session: &RefCell<Session>,
        delivering: &Delivering<'_, T>,
    ) -> Result<(), SessionError> {
        let now_ms = self.clock.now_ms();
        loop {
            let incoming =
                self.shared.with_outbox(|outbox| session.borrow_mut().receive(outbox, now_ms, &mut bytes))?;
            match incoming {
                Some(Incoming::Welcome(_)) => self.delivers(delivering),
                Some(Incoming::Configure(settings)) => self.shared.configure(settings),
                Some(Incoming::Acknowledged { .. }) => {}
                None => return Ok(()),
            }
        }
    }

    /// Sends what may go out, until an earlier boot is delivered or the connection ends.
    async fn write<S: Read + Write + Clone>(
        &self,
        mut writer: Writer<'_, S>,
        session: &RefCell<Session>,
        buffer: &mut [u8],
    ) -> Result<Done, Lost> {
        loop {
            // Messages that go out together share records.
            while let Some(len) = self.next_message(session, buffer)? {
                writer.write_all(buffer.get(..len).unwrap_or_default()).await?;
            }
            writer.flush().await?;
            if self.shared.with_outbox(|outbox| session.borrow().is_finished(outbox)) {
                return Ok(Done);
            }
            self.shared.more().await;
        }
    }

    /// The length of the next message in `buffer`, if one may go out now.
    fn next_message(
        &self,
        session: &RefCell<Session>,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, SessionError> {
        let takes_events = self.shared.with_outbox(|outbox| session.borrow().takes_events(outbox));
        if takes_events && let Some(event) = self.shared.take_event() {
            return Ok(Some(encode_event(&event.event(), buffer)?));
        }
        let now_ms = self.clock.now_ms();
        let mut session = session.borrow_mut();
        let outgoing = self.shared.with_outbox(|outbox| session.next_message(outbox, now_ms, buffer))?;
        Ok(outgoing.map(|outgoing| outgoing.len()))
    }

    /// Returns when the server has said nothing for too long; gives signs of life meanwhile.
    async fn watch<T: FnMut(TroubleNews)>(
        &self,
        session: &RefCell<Session>,
        delivering: &Delivering<'_, T>,
    ) -> SessionError {
        loop {
            self.live(delivering);
            if let Err(error) = session.borrow().check(self.clock.now_ms()) {
                return error;
            }
            self.clock.wait_ms(WATCH_EVERY_MS).await;
        }
    }
}

/// What a failed handshake says of the server. All but a broken socket is its answer: another key, none, or no TLS.
fn refusal(error: &TlsError) -> Trouble {
    use embedded_io_async::ErrorKind;
    match error {
        TlsError::Io(ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe) => {
            Trouble::ServerRefuses
        }
        TlsError::Io(_) => Trouble::ServerSilent,
        _ => Trouble::ServerRefuses,
    }
}
