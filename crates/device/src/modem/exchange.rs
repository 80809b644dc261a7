//! One command and its answer; sending data; and what is done when an answer did not come.

use core::future::poll_fn;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::MutexGuard;
use embedded_io_async::{Error, Write};
use zeroize::Zeroize as _;

use super::command::{Command, Part, compose};
use super::core_state::{Outcome, Until};
use super::error::{ModemError, SocketError};
use super::{Modem, SEND_LEN_MAX};
use crate::clock::{Clock, within};

/// How long an ordinary answer may take, in milliseconds. The modem answers most at once, and changes of mode within one
/// second.
pub(super) const ANSWER_MS_MAX: u64 = 3_000;
/// How long `SEND OK` may take, in milliseconds: AT 1.7 says it when the other side acknowledged, after TCP's repetitions.
const SENT_MS_MAX: u64 = 10_000;
/// How long the modem may be busy with what was given up, in milliseconds: joining takes it longest.
const BUSY_MS_MAX: u64 = 30_000;
/// Pause before a command is sent again to a busy modem, in milliseconds.
const BUSY_PAUSE_MS: u64 = 100;
/// A modem that says no result for so long, in milliseconds, has said all.
const QUIET_MS: u64 = 50;
/// Waits for quiet, at most: a modem that never is quiet does not stop the device.
const QUIET_TRIES_MAX: u32 = 40;
/// Questions for the version before the modem counts as silent.
const VERSION_TRIES_MAX: u32 = 3;

/// The modem's line, and what may still come of what was sent on it.
pub(super) struct Wire<W> {
    line: W,
    command: Command,
    /// A command was sent whose result has not come.
    unsettled: bool,
    /// Bytes of data that the modem may be waiting for.
    owed: usize,
    pub(super) about: About,
}

/// What was set up on the modem.
#[derive(Clone, Copy, Default)]
pub(super) struct About {
    /// `AT+CWMODE`, if it was set.
    pub(super) mode: Option<u8>,
    /// Commands store what they set unless their name ends with `_CUR`: AT 1.x.
    pub(super) stores: bool,
    /// Which link is tried first for the next connection.
    pub(super) next_link: usize,
}

impl<W> Wire<W> {
    pub(super) fn new(line: W) -> Self {
        Self { line, command: Command::new(), unsettled: true, owed: 0, about: About::default() }
    }
}

/// The line, for one command after another.
pub(super) type Turn<'m, W> = MutexGuard<'m, NoopRawMutex, Wire<W>>;

impl<W: Write, C: Clock> Modem<'_, W, C> {
    /// The line as soon as it is free, of a modem that is set up, answers nothing else and has no link too many.
    pub(super) async fn turn(&self) -> Result<Turn<'_, W>, ModemError> {
        let mut wire = self.wire.lock().await;
        self.must_be_started()?;
        if wire.unsettled || wire.owed > 0 {
            self.settle(&mut wire).await?;
            self.must_be_started()?;
        }
        self.tidy(&mut wire).await?;
        Ok(wire)
    }

    fn must_be_started(&self) -> Result<(), ModemError> {
        if self.is_started() { Ok(()) } else { Err(ModemError::NotStarted) }
    }

    /// Closes the links that no one uses any more.
    async fn tidy(&self, wire: &mut Wire<W>) -> Result<(), ModemError> {
        while let Some(number) =
            self.state.with(|core| core.links.iter().position(|link| link.wants_closing()))
        {
            self.close_link(wire, number).await?;
        }
        Ok(())
    }

    /// `AT+CIPCLOSE`; afterwards the link is not open, whatever the modem said.
    pub(super) async fn close_link(&self, wire: &mut Wire<W>, number: usize) -> Result<(), ModemError> {
        const NAME: &str = "AT+CIPCLOSE";
        let parts = [Part::Text(NAME), Part::Text("="), Part::Number(number)];
        let closed = self.command(wire, NAME, &parts, Until::Ok, ANSWER_MS_MAX).await;
        self.state.with(|core| {
            if let Some(link) = core.links.get_mut(number) {
                link.forgotten(SocketError::Closed);
            }
        });
        match closed {
            // It was closed already.
            Err(ModemError::Refused { .. }) => Ok(()),
            closed => closed,
        }
    }

    /// Sends a command and waits for its result. A busy modem is asked again.
    pub(super) async fn command(
        &self,
        wire: &mut Wire<W>,
        name: &'static str,
        parts: &[Part<'_>],
        until: Until,
        ms_max: u64,
    ) -> Result<(), ModemError> {
        let end_ms = self.clock.now_ms().saturating_add(ms_max);
        loop {
            compose(&mut wire.command, parts).inspect_err(|_| wire.command.zeroize())?;
            let left_ms = end_ms.saturating_sub(self.clock.now_ms()).max(1);
            match self.exchange(wire, None, name, until, left_ms).await? {
                Outcome::Done => return Ok(()),
                Outcome::Refused => return Err(ModemError::Refused { command: name }),
                Outcome::Restarted => return Err(ModemError::NotStarted),
                Outcome::Busy if self.clock.now_ms() + BUSY_PAUSE_MS >= end_ms => {
                    return Err(ModemError::Busy { command: name, ms_max });
                }
                Outcome::Busy => self.clock.wait_ms(BUSY_PAUSE_MS).await,
            }
        }
    }

    /// Writes the command, or `data`, and waits for what ends it. If this future is dropped or the time is over, the wire stays
    /// unsettled, and the next turn begins with settling it.
    async fn exchange(
        &self,
        wire: &mut Wire<W>,
        data: Option<&[u8]>,
        name: &'static str,
        until: Until,
        ms_max: u64,
    ) -> Result<Outcome, ModemError> {
        self.state.with(|core| core.exchange.begin(until));
        wire.unsettled = true;
        let ended = {
            let Wire { line, command, owed, .. } = wire;
            // Dropped with the future, too.
            let command = Wiped(command);
            let written_and_answered = async {
                write(line, data.unwrap_or(command.0)).await?;
                if data.is_some() {
                    *owed = 0;
                }
                Ok(poll_fn(|context| self.state.with(|core| core.exchange.poll(context))).await)
            };
            within(&self.clock, ms_max, written_and_answered).await
        };
        match ended {
            Ok(Ok(outcome)) => {
                wire.unsettled = false;
                if outcome == Outcome::Restarted {
                    wire.owed = 0;
                }
                Ok(outcome)
            }
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => {
                self.state.with(|core| {
                    core.exchange.end();
                    core.lost_place = true;
                });
                Err(ModemError::Silent { command: name, ms_max })
            }
        }
    }

    /// Brings the modem to where it has nothing to say and waits for a command. Afterwards its version is among the facts.
    pub(super) async fn settle(&self, wire: &mut Wire<W>) -> Result<(), ModemError> {
        const NAME: &str = "AT+GMR";
        self.pay(wire, wire.owed).await?;
        let mut settled = Err(ModemError::Silent { command: NAME, ms_max: ANSWER_MS_MAX });
        for _ in 0..VERSION_TRIES_MAX {
            // The line end ends what may have been written of a command before.
            let parts = [Part::Text("\r\n"), Part::Text(NAME)];
            settled = self.command_while_busy(wire, NAME, &parts, Until::Version).await;
            if !matches!(settled, Err(ModemError::Silent { .. })) {
                break;
            }
        }
        settled?;
        for _ in 0..QUIET_TRIES_MAX {
            let before = self.state.with(|core| core.exchange.results);
            self.clock.wait_ms(QUIET_MS).await;
            if self.state.with(|core| core.exchange.results) == before {
                break;
            }
        }
        Ok(())
    }

    /// A command whose answer may take [`ANSWER_MS_MAX`], not counted while the modem says that it is busy.
    pub(super) async fn command_while_busy(
        &self,
        wire: &mut Wire<W>,
        name: &'static str,
        parts: &[Part<'_>],
        until: Until,
    ) -> Result<(), ModemError> {
        let end_ms = self.clock.now_ms().saturating_add(BUSY_MS_MAX);
        loop {
            match self.command(wire, name, parts, until, ANSWER_MS_MAX).await {
                Err(ModemError::Busy { command, .. }) if self.clock.now_ms() >= end_ms => {
                    return Err(ModemError::Busy { command, ms_max: BUSY_MS_MAX });
                }
                Err(ModemError::Busy { .. }) => {}
                ended => return ended,
            }
        }
    }

    /// Writes `owed` bytes of line ends: a modem that waits for data takes them as data, another as empty lines.
    pub(super) async fn pay(&self, wire: &mut Wire<W>, owed: usize) -> Result<(), ModemError> {
        const PAY: &[u8] = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
        wire.owed = owed;
        while wire.owed > 0 {
            let piece = PAY.get(..wire.owed.min(PAY.len())).unwrap_or_default();
            // Counted when written: if this is given up, too much is paid next time, which does no harm.
            within(&self.clock, ANSWER_MS_MAX, write(&mut wire.line, piece))
                .await
                .map_err(|_| ModemError::Silent { command: "AT+CIPSEND", ms_max: ANSWER_MS_MAX })??;
            wire.owed -= piece.len();
        }
        Ok(())
    }

    /// `AT+CIPSEND`: sends as much of `bytes` as one command may; says how much.
    pub(super) async fn send(
        &self,
        number: usize,
        generation: u32,
        bytes: &[u8],
    ) -> Result<usize, SocketError> {
        const NAME: &str = "AT+CIPSEND";
        let bytes = bytes.get(..bytes.len().min(SEND_LEN_MAX)).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut wire = self.turn().await?;
        self.writable(number, generation)?;
        // From here on the other side has this whole, or the link ends.
        let mut unknown =
            Unknown { modem: self, number, generation, because: Some(SocketError::Interrupted) };
        wire.owed = bytes.len();
        let parts = [
            Part::Text(NAME),
            Part::Text("="),
            Part::Number(number),
            Part::Text(","),
            Part::Number(bytes.len()),
        ];
        let prompted = self.command(&mut wire, NAME, &parts, Until::Prompt, ANSWER_MS_MAX).await;
        if let Err(error) = prompted {
            if !matches!(error, ModemError::Silent { .. } | ModemError::Line(_)) {
                wire.owed = 0;
            }
            return Err(unknown.is(not_sent(error)));
        }
        match self.exchange(&mut wire, Some(bytes), NAME, Until::Sent, SENT_MS_MAX).await {
            Ok(Outcome::Done) => {
                unknown.because = None;
                Ok(bytes.len())
            }
            Ok(Outcome::Restarted) => Err(unknown.is(SocketError::Lost)),
            // A datagram may be lost anywhere; who asked is gone, and others are not.
            Ok(_)
                if self
                    .state
                    .with(|core| core.links.get(number).is_some_and(|link| link.may_lose(generation))) =>
            {
                unknown.because = None;
                Ok(bytes.len())
            }
            Ok(_) => Err(unknown.is(SocketError::NotSent)),
            Err(error) => Err(unknown.is(error.into())),
        }
    }

    pub(super) fn writable(&self, number: usize, generation: u32) -> Result<(), SocketError> {
        self.state.with(|core| core.links.get(number).map_or(Ok(()), |link| link.writable(generation)))
    }
}

fn not_sent(error: ModemError) -> SocketError {
    match error {
        ModemError::Refused { .. } => SocketError::NotSent,
        ModemError::NotStarted => SocketError::Lost,
        error => error.into(),
    }
}

/// A command that is gone when it is dropped: it may hold a password.
struct Wiped<'c>(&'c mut Command);

impl Drop for Wiped<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Ends a link when it is dropped, unless all is known to be well.
struct Unknown<'m, 's, W: Write, C: Clock> {
    modem: &'m Modem<'s, W, C>,
    number: usize,
    generation: u32,
    because: Option<SocketError>,
}

impl<W: Write, C: Clock> Unknown<'_, '_, W, C> {
    fn is(&mut self, because: SocketError) -> SocketError {
        self.because = Some(because);
        because
    }
}

impl<W: Write, C: Clock> Drop for Unknown<'_, '_, W, C> {
    fn drop(&mut self) {
        let Some(because) = self.because else { return };
        self.modem.state.with(|core| {
            if let Some(link) = core.links.get_mut(self.number) {
                link.end_of(self.generation, because);
            }
            core.wake_watchers();
        });
    }
}

async fn write<W: Write>(line: &mut W, bytes: &[u8]) -> Result<(), ModemError> {
    line.write_all(bytes).await.map_err(|error| ModemError::Line(error.kind()))?;
    line.flush().await.map_err(|error| ModemError::Line(error.kind()))
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embassy_futures::poll_once;
    use embedded_io_async::ErrorType;

    use super::super::{Modem, State};
    use super::*;
    use crate::test_clock::TestClock;

    /// Takes everything, and no one answers.
    struct Mute;

    impl ErrorType for Mute {
        type Error = Infallible;
    }

    impl Write for Mute {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            Ok(bytes.len())
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_password_goes_with_the_command_that_was_given_up() {
        let state = State::new();
        let wire = Wire { unsettled: false, ..Wire::new(Mute) };
        let modem = Modem { state: &state, wire: wire.into(), clock: TestClock::new() };
        state.with(|core| core.started = true);
        modem.wire.try_lock().unwrap().about.mode = Some(1);
        assert!(poll_once(modem.join(b"Ward 3", "12345678")).is_pending());
        let wire = modem.wire.try_lock().unwrap();
        assert!(wire.unsettled, "it was sent");
        assert_eq!(wire.command, Command::new());
        drop(wire);
        state.with(|core| core.exchange.end());
        modem.wire.try_lock().unwrap().unsettled = false;
        assert!(poll_once(modem.join(b"Ward 3", "1234567\n")).is_ready(), "it cannot be said");
        assert_eq!(modem.wire.try_lock().unwrap().command, Command::new());
    }
}
