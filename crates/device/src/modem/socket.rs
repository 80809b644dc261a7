//! Connections and datagrams on the modem's links.

use core::future::poll_fn;

use embedded_io_async::{ErrorType, Read, Write};

use super::command::Part;
use super::core_state::Until;
use super::error::{ConnectError, ModemError, SocketError};
use super::exchange::{ANSWER_MS_MAX, Wire};
use super::{LINKS_MAX, Modem};
use crate::clock::Clock;

/// How long connecting may take, in milliseconds: asking for the address, and TCP's first repetitions.
const CONNECT_MS_MAX: u64 = 20_000;

/// One use of a link. Clones share it; when the last is dropped, the link is closed with the next command.
struct Held<'m, 's, W: Write, C: Clock> {
    modem: &'m Modem<'s, W, C>,
    number: usize,
    generation: u32,
}

impl<W: Write, C: Clock> Clone for Held<'_, '_, W, C> {
    fn clone(&self) -> Self {
        self.modem.state.with(|core| {
            if let Some(link) = core.links.get_mut(self.number) {
                link.add_user(self.generation);
            }
        });
        Self { ..*self }
    }
}

impl<W: Write, C: Clock> Drop for Held<'_, '_, W, C> {
    fn drop(&mut self) {
        self.modem.state.with(|core| {
            if core.links.get_mut(self.number).is_some_and(|link| link.remove_user(self.generation)) {
                core.wake_watchers();
            }
        });
    }
}

impl<W: Write, C: Clock> Held<'_, '_, W, C> {
    async fn close(&self) {
        // An error means that the modem is gone, and the link with it, or that it is closed later.
        if let Ok(mut wire) = self.modem.turn().await {
            let open = |link: &super::link::Link| link.is_open(self.generation);
            if self.modem.state.with(|core| core.links.get(self.number).is_some_and(open)) {
                let _closed = self.modem.close_link(&mut wire, self.number).await;
            }
        }
        self.modem.state.with(|core| {
            if let Some(link) = core.links.get_mut(self.number) {
                link.end_of(self.generation, SocketError::Closed);
            }
        });
    }
}

/// A TCP connection. Clones are the same connection: one may read while another writes. When all are dropped it is closed
/// with the next command; [`Socket::close`] does it now.
///
/// A read that is dropped loses nothing. A write that is dropped ends the connection, as no one knows what was sent. Two
/// readers at once would share the bytes.
pub struct Socket<'m, 's, W: Write, C: Clock>(Held<'m, 's, W, C>);

impl<W: Write, C: Clock> Clone for Socket<'_, '_, W, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write, C: Clock> Socket<'_, '_, W, C> {
    /// Closes the connection. What came before can still be read.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl<W: Write, C: Clock> ErrorType for Socket<'_, '_, W, C> {
    type Error = SocketError;
}

impl<W: Write, C: Clock> Read for Socket<'_, '_, W, C> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, SocketError> {
        let Held { modem, number, generation } = self.0;
        poll_fn(|context| {
            modem.state.with(|core| match core.links.get_mut(number) {
                Some(link) => link.poll_read(generation, bytes, context),
                None => core::task::Poll::Ready(Ok(0)),
            })
        })
        .await
    }
}

impl<W: Write, C: Clock> Write for Socket<'_, '_, W, C> {
    /// Sends up to [`super::SEND_LEN_MAX`] bytes, and returns when the modem has sent them.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, SocketError> {
        self.0.modem.send(self.0.number, self.0.generation, bytes).await
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        Ok(())
    }
}

/// A UDP port. It takes datagrams from anybody.
pub struct Datagrams<'m, 's, W: Write, C: Clock>(Held<'m, 's, W, C>);

impl<W: Write, C: Clock> Datagrams<'_, '_, W, C> {
    /// The next datagram; of one longer than `bytes` the end is lost. One for which there is no room while no one receives
    /// is dropped. If this future is dropped, no datagram is lost.
    ///
    /// # Errors
    /// The port is closed.
    pub async fn receive(&mut self, bytes: &mut [u8]) -> Result<usize, SocketError> {
        let Held { modem, number, generation } = self.0;
        poll_fn(|context| {
            modem.state.with(|core| match core.links.get_mut(number) {
                Some(link) => link.poll_receive(generation, bytes, context),
                None => core::task::Poll::Ready(Err(SocketError::Closed)),
            })
        })
        .await
    }

    /// Sends a datagram to who sent the last one to the modem. That the modem could not send it is no error, as it may be lost
    /// later as well.
    ///
    /// # Errors
    /// See [`SocketError`]. After one the port must be opened again.
    pub async fn reply(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        self.0.modem.send(self.0.number, self.0.generation, bytes).await.map(|_| ())
    }

    /// Closes the port.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl<'s, W: Write, C: Clock> Modem<'s, W, C> {
    /// Connects by TCP to a host, given by its name or IPv4 address.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<Socket<'_, 's, W, C>, ConnectError> {
        let mut wire = self.turn().await?;
        let held = self.reserve(&mut wire, false)?;
        let parts = [
            Part::Text(OPEN),
            Part::Text("="),
            Part::Number(held.number),
            Part::Text(",\"TCP\","),
            Part::Quoted(host.as_bytes()),
            Part::Text(","),
            Part::Number(port.into()),
        ];
        self.open(&mut wire, &held, &parts, CONNECT_MS_MAX).await?;
        Ok(Socket(held))
    }

    /// Takes datagrams that come to a UDP port.
    ///
    /// # Errors
    /// See [`ModemError`].
    pub async fn open_datagrams(&self, port: u16) -> Result<Datagrams<'_, 's, W, C>, ModemError> {
        let mut wire = self.turn().await?;
        let held = self.reserve(&mut wire, true)?;
        let parts = [
            Part::Text(OPEN),
            Part::Text("="),
            Part::Number(held.number),
            Part::Text(",\"UDP\",\"0.0.0.0\","),
            Part::Number(port.into()),
            Part::Text(","),
            Part::Number(port.into()),
            // Answers go to who sent the last datagram.
            Part::Text(",2"),
        ];
        match self.open(&mut wire, &held, &parts, ANSWER_MS_MAX).await {
            Ok(()) => Ok(Datagrams(held)),
            Err(ConnectError::Modem(error)) => Err(error),
            Err(_) => Err(ModemError::Refused { command: OPEN }),
        }
    }

    /// A free link, the one after the last: what the modem still says of the last is then of no one.
    fn reserve(&self, wire: &mut Wire<W>, datagrams: bool) -> Result<Held<'_, 's, W, C>, ModemError> {
        let first = wire.about.next_link;
        self.state.with(|core| {
            // From the last on, as the modem takes the first for who connects to it.
            let mut numbers = (0..LINKS_MAX).map(|step| (first + LINKS_MAX - 1 - step) % LINKS_MAX);
            let number = numbers.find(|number| core.links.get(*number).is_some_and(|link| link.is_free()));
            let link = number.and_then(|number| Some((number, core.links.get_mut(number)?)));
            let (number, link) = link.ok_or(ModemError::NoFreeLink { max: LINKS_MAX })?;
            wire.about.next_link = number;
            Ok(Held { modem: self, number, generation: link.reserve(datagrams) })
        })
    }

    /// `AT+CIPSTART` for a link that is reserved.
    async fn open(
        &self,
        wire: &mut Wire<W>,
        held: &Held<'_, 's, W, C>,
        parts: &[Part<'_>],
        ms_max: u64,
    ) -> Result<(), ConnectError> {
        let mut ended = self.command(wire, OPEN, parts, Until::Ok, ms_max).await;
        if ended.is_err() && self.state.with(|core| core.exchange.facts.already_connected) {
            // It is of a connection that the device has forgotten.
            let number = held.number;
            let close = [Part::Text("AT+CIPCLOSE="), Part::Number(number)];
            match self.command(wire, "AT+CIPCLOSE", &close, Until::Ok, ANSWER_MS_MAX).await {
                Ok(()) | Err(ModemError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            ended = self.command(wire, OPEN, parts, Until::Ok, ms_max).await;
        }
        self.state.with(|core| {
            let facts = &core.exchange.facts;
            let why = match (facts.no_such_host, facts.no_address) {
                (true, _) => ConnectError::NoSuchHost,
                (_, true) => ConnectError::NotJoined,
                _ => ConnectError::Unreachable,
            };
            let link = core.links.get_mut(held.number);
            match (&ended, link) {
                (Ok(()), Some(link)) => link.opened(held.generation),
                (Err(ModemError::Refused { .. }), Some(link)) => link.refused(held.generation),
                _ => {}
            }
            ended.map_err(|error| match error {
                ModemError::Refused { .. } => why,
                error => error.into(),
            })
        })
    }

    /// Lets others connect to a TCP port of the modem; only one port at a time.
    ///
    /// # Errors
    /// See [`ModemError`].
    pub async fn listen(&self, port: u16) -> Result<(), ModemError> {
        const NAME: &str = "AT+CIPSERVER";
        let mut wire = self.turn().await?;
        self.state.with(|core| core.listening = true);
        let parts = [Part::Text(NAME), Part::Text("=1,"), Part::Number(port.into())];
        let listens = self.command(&mut wire, NAME, &parts, Until::Ok, ANSWER_MS_MAX).await;
        if listens.is_err() {
            self.state.with(|core| core.listening = false);
        }
        listens
    }

    /// The next connection from outside. While this waits, it also closes the links that were dropped. If this future is
    /// dropped, no connection is lost.
    ///
    /// # Errors
    /// The modem restarted or does not answer.
    pub async fn accept(&self) -> Result<Socket<'_, 's, W, C>, ModemError> {
        loop {
            let found = self
                .once(|core| {
                    if !core.started {
                        return Some(Found::Restart);
                    }
                    let waiting = core.links.iter_mut().enumerate();
                    let mut waiting = waiting.filter_map(|(number, link)| Some((number, link.accept()?)));
                    if let Some((number, generation)) = waiting.next() {
                        return Some(Found::Connection { number, generation });
                    }
                    core.links.iter().any(|link| link.wants_closing()).then_some(Found::Leftover)
                })
                .await;
            match found {
                Found::Connection { number, generation } => {
                    return Ok(Socket(Held { modem: self, number, generation }));
                }
                Found::Restart => return Err(ModemError::NotStarted),
                Found::Leftover => drop(self.turn().await?),
            }
        }
    }
}

/// The command that opens a link.
const OPEN: &str = "AT+CIPSTART";

enum Found {
    Connection { number: usize, generation: u32 },
    Leftover,
    Restart,
}
