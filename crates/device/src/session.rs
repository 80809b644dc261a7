//! One connection to the server, from `Hello` to its end, without I/O: which message goes out next, and what one that came
//! in means for the outbox.
//!
//! It sends batches in order, never more than a window of them unacknowledged, forgets only what is acknowledged, and tells
//! the server what will never come. A batch that the server refuses three times is given up. A server that breaks PROTOCOL.md, or says nothing for too long, ends the session: drop
//! the connection and begin again after a back-off. It never decides when to connect, and never retries by itself.

mod inbox;

use core::fmt::Write as _;

use embedded_storage::nor_flash::NorFlash;
use inbox::Inbox;
use vitalwire_protocol::batch::{
    BatchError, EVENT_TEXT_LEN_MAX, Event, Hello, Message, Refused, TIME_MS_MAX, Welcome, add_oldest,
    encode_event, encode_hello, event_code,
};

use crate::batcher::Settings;
use crate::outbox::{GivenUp, Outbox, OutboxError, REFUSALS_MAX};

/// Bytes of the longest `Hello`: names of 32 bytes, four numbers of 9, a flag, and their heads.
pub const HELLO_LEN_MAX: usize = 128;

/// Who the device is; the same at every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Name of the profile that says what the channels are.
    pub profile: &'a str,
    /// Version of the firmware.
    pub firmware: &'a str,
    /// What the device's clock showed when the device started, in milliseconds.
    pub started_ms: u64,
}

/// How far a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Bytes of batches that may be unacknowledged; one batch always may. What a connection loses is sent again.
    pub window_len: u64,
    /// Milliseconds that the server may take for its `Welcome`.
    pub welcome_ms_max: u64,
    /// Milliseconds for which batches may be on their way without any acknowledgement. A server whose disk is full does not
    /// acknowledge and goes on, so this is long: it finds connections that are dead without knowing it.
    pub ack_ms_max: u64,
    /// Milliseconds between two events that say that the outbox was full.
    pub event_every_ms: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { window_len: 64 * 1024, welcome_ms_max: 10_000, ack_ms_max: 300_000, event_every_ms: 60_000 }
    }
}

/// Why a session is over. Close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SessionError {
    #[error("what the server sent breaks PROTOCOL.md: {0}")]
    Message(#[from] BatchError),
    #[error("message of the server is longer than {max} bytes: a device takes no longer ones")]
    TooLong { max: usize },
    #[error("the server sent a {name}, which only devices send: this is no Vitalwire server")]
    WrongDirection { name: &'static str },
    #[error("the server sent a {name} out of turn: Welcome comes first, and once")]
    OutOfTurn { name: &'static str },
    #[error(
        "the server claims to hold batch {sequence}, the last sent is {sent}: it has another device's data"
    )]
    NeverSent { sequence: u64, sent: u64 },
    #[error("no Welcome within {ms_max} ms")]
    NotWelcomed { ms_max: u64 },
    #[error("no acknowledgement within {ms_max} ms: the connection is dead")]
    NotAcknowledged { ms_max: u64 },
    /// The outbox has counted it.
    #[error("the server refuses batch {sequence:?}, reason {code} of PROTOCOL.md; given up: {is_given_up}")]
    Refused {
        /// The batch as the server names it; `None`: it was no batch.
        sequence: Option<u64>,
        /// Why (PROTOCOL.md §4.1).
        code: u16,
        /// That was the third time: the batch is sent no more.
        is_given_up: bool,
    },
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// What a message of the server meant. The outbox knows already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The server answered; batches may go out.
    Welcome(Welcome),
    /// It holds every batch of the delivered boot up to `sequence`.
    Acknowledged {
        /// The highest such sequence.
        sequence: u64,
        /// Batches that the outbox forgot for it.
        batches: u64,
    },
    /// Measure so from now on: hand it to the batcher.
    Configure(Settings),
}

/// A message to be written, whole, before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A batch.
    Batch {
        /// Its sequence.
        sequence: u64,
        /// Bytes of the message.
        len: usize,
    },
    /// An event.
    Event {
        /// Bytes of the message.
        len: usize,
    },
}

impl Outgoing {
    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Batch { len, .. } | Self::Event { len } => *len,
        }
    }

    /// Whether there is nothing to write; there always is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    inbox: Inbox,
    course: Course,
}

/// What has been said.
#[derive(Debug)]
struct Course {
    limits: SessionLimits,
    is_welcome: bool,
    /// The server knows that nothing below it will come: it was told, or holds all of it.
    settled: u64,
    /// Dropped batches that an event told of, and when.
    events: (u64, Option<u64>),
    /// Since when the server owes an answer.
    waiting_since_ms: Option<u64>,
}

impl Session {
    /// Begins a session at a fresh connection: writes the `Hello` into `out`, which has room for [`HELLO_LEN_MAX`], and
    /// returns its length. `now_ms` is the device's clock, which never goes back.
    ///
    /// # Errors
    /// The identity is outside the protocol's limits, or `out` is too small.
    pub fn begin<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(
        outbox: &mut Outbox<R, F>,
        identity: &Identity<'_>,
        limits: SessionLimits,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<(Self, usize), SessionError> {
        let delivery = outbox.begin_delivery();
        // How long the device was off no one knows: this is the least that the clock of a boot that is over would show.
        let past_ms = |newest_ms: u64| newest_ms.saturating_add(now_ms.saturating_sub(identity.started_ms));
        let hello = Hello {
            boot: delivery.boot,
            profile: identity.profile,
            firmware: identity.firmware,
            time_ms: delivery.past_newest_ms.map_or(now_ms, past_ms).min(TIME_MS_MAX),
            oldest: Some(delivery.oldest),
            past: delivery.past_newest_ms.is_some(),
        };
        let len = encode_hello(&hello, out)?;
        let course = Course {
            limits,
            is_welcome: false,
            settled: delivery.oldest,
            events: (outbox.dropped(), None),
            waiting_since_ms: Some(now_ms),
        };
        Ok((Self { inbox: Inbox::default(), course }, len))
    }

    /// Whether the server has answered the `Hello`.
    #[must_use]
    pub fn is_welcome(&self) -> bool {
        self.course.is_welcome
    }

    /// The next message to be written, into `out`, which has room for `message_len_max` of the outbox and
    /// [`OLDEST_LEN_MAX`](crate::outbox::OLDEST_LEN_MAX). `None`: nothing may go out now.
    ///
    /// # Errors
    /// `out` is too small.
    pub fn next_message<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(
        &mut self,
        outbox: &mut Outbox<R, F>,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<Outgoing>, SessionError> {
        let course = &mut self.course;
        if !course.is_welcome {
            return Ok(None);
        }
        if outbox.delivered_boot() == outbox.boot()
            && let Some(given_up) = outbox.take_given_up()
        {
            return Ok(Some(Outgoing::Event { len: given_up_event(given_up, outbox.boot(), now_ms, out)? }));
        }
        let Some(len) = outbox.next_len() else { return Ok(None) };
        let in_flight = outbox.in_flight_len();
        if in_flight > 0 && in_flight + len as u64 > course.limits.window_len {
            return Ok(None);
        }
        if let Some(len) = course.outbox_full_event(outbox.dropped(), now_ms, out)? {
            return Ok(Some(Outgoing::Event { len }));
        }
        let oldest = outbox.oldest();
        let Some((sequence, mut len)) = outbox.take_next(out)? else { return Ok(None) };
        if let Some(oldest) = oldest.filter(|oldest| *oldest > course.settled) {
            len = add_oldest(out, len, oldest)?;
            course.settled = oldest;
        }
        course.waiting_since_ms.get_or_insert(now_ms);
        Ok(Some(Outgoing::Batch { sequence, len }))
    }

    /// Whether an event of the present boot may go out now: not before the `Welcome`, and not while an earlier boot is
    /// delivered, whose clock was another. Events are not acknowledged: what a connection loses is lost.
    #[must_use]
    pub fn takes_events<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(&self, outbox: &Outbox<R, F>) -> bool {
        self.course.is_welcome && outbox.delivered_boot() == outbox.boot()
    }

    /// Takes bytes of the server off `bytes` up to the end of a message that means something to the device; `None` when
    /// more must come first.
    ///
    /// # Errors
    /// The server broke the protocol. The outbox holds what it held.
    pub fn receive<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(
        &mut self,
        outbox: &mut Outbox<R, F>,
        now_ms: u64,
        bytes: &mut &[u8],
    ) -> Result<Option<Incoming>, SessionError> {
        while let Some(message) = self.inbox.next(bytes)? {
            if let Some(incoming) = self.course.take(outbox, now_ms, &message)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    /// Whether all that this connection was for is delivered: what an earlier boot left. Close it in order, and connect
    /// again for the next boot.
    pub fn is_finished<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(&self, outbox: &mut Outbox<R, F>) -> bool {
        outbox.oldest().is_none()
    }

    /// When [`Self::check`] will fail unless the server says something, in milliseconds of the device's clock.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let Course { limits, is_welcome, waiting_since_ms, .. } = self.course;
        let ms_max = if is_welcome { limits.ack_ms_max } else { limits.welcome_ms_max };
        Some(waiting_since_ms?.saturating_add(ms_max))
    }

    /// Whether the server still is within its time.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, now_ms: u64) -> Result<(), SessionError> {
        match self.deadline_ms() {
            Some(deadline_ms) if now_ms >= deadline_ms => Err(if self.course.is_welcome {
                SessionError::NotAcknowledged { ms_max: self.course.limits.ack_ms_max }
            } else {
                SessionError::NotWelcomed { ms_max: self.course.limits.welcome_ms_max }
            }),
            _ => Ok(()),
        }
    }
}

impl Course {
    /// The event that tells of dropped batches, once in a while.
    fn outbox_full_event(
        &mut self,
        dropped: u64,
        now_ms: u64,
        out: &mut [u8],
    ) -> Result<Option<usize>, SessionError> {
        let (told, at_ms) = self.events;
        let is_due = at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= self.limits.event_every_ms);
        if dropped == told || !is_due {
            return Ok(None);
        }
        self.events = (dropped, Some(now_ms));
        let text = "outbox full, oldest batches dropped";
        let event = Event { code: event_code::OUTBOX_FULL, text, time_ms: now_ms.min(TIME_MS_MAX) };
        Ok(Some(encode_event(&event, out)?))
    }

    fn take<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(
        &mut self,
        outbox: &mut Outbox<R, F>,
        now_ms: u64,
        message: &Message<'_>,
    ) -> Result<Option<Incoming>, SessionError> {
        let in_turn = |holds: bool, name| if holds { Ok(()) } else { Err(SessionError::OutOfTurn { name }) };
        match message {
            Message::Welcome(welcome) => {
                in_turn(!self.is_welcome, "Welcome")?;
                if let Some(sequence) = welcome.sequence {
                    // Of a boot that is over only what flash kept is known: the server may hold more.
                    if outbox.delivered_boot() == outbox.boot() {
                        check_sent(sequence, outbox.next_sequence())?;
                    }
                    self.acknowledged(outbox, sequence);
                }
                self.is_welcome = true;
                self.waiting_since_ms = None;
                Ok(Some(Incoming::Welcome(*welcome)))
            }
            Message::Ack { sequence } => {
                in_turn(self.is_welcome, "Ack")?;
                check_sent(*sequence, outbox.next_to_send())?;
                let batches = self.acknowledged(outbox, *sequence);
                self.waiting_since_ms = (outbox.in_flight_len() > 0).then_some(now_ms);
                Ok(Some(Incoming::Acknowledged { sequence: *sequence, batches }))
            }
            Message::Configure(configure) => {
                in_turn(self.is_welcome, "Configure")?;
                Ok(Some(Incoming::Configure(Settings::of(configure))))
            }
            Message::Refused(Refused { code, sequence, .. }) => {
                let is_given_up = sequence.is_some_and(|sequence| outbox.refuse(sequence, *code));
                Err(SessionError::Refused { sequence: *sequence, code: *code, is_given_up })
            }
            Message::Unknown { .. } => Ok(None),
            Message::Hello(_) => Err(SessionError::WrongDirection { name: "Hello" }),
            Message::Batch(_) => Err(SessionError::WrongDirection { name: "Batch" }),
            Message::Event(_) => Err(SessionError::WrongDirection { name: "Event" }),
        }
    }

    fn acknowledged<R: AsRef<[u8]> + AsMut<[u8]>, F: NorFlash>(
        &mut self,
        outbox: &mut Outbox<R, F>,
        sequence: u64,
    ) -> u64 {
        self.settled = self.settled.max(sequence.saturating_add(1));
        outbox.acknowledge(sequence)
    }
}

/// The event that tells of a batch that the server refused until it was given up.
fn given_up_event(
    given_up: GivenUp,
    present: u64,
    now_ms: u64,
    out: &mut [u8],
) -> Result<usize, SessionError> {
    let GivenUp { boot, sequence, code } = given_up;
    let mut text = heapless::String::<EVENT_TEXT_LEN_MAX>::new();
    // Three numbers and a few words always fit.
    let _ = write!(text, "batch {sequence} was refused {REFUSALS_MAX} times, reason {code}: given up");
    if boot != present {
        let _ = write!(text, "; of boot {boot:016x}");
    }
    let event = Event { code: event_code::BATCH_REFUSED, text: &text, time_ms: now_ms.min(TIME_MS_MAX) };
    Ok(encode_event(&event, out)?)
}

/// Only what was given out can be held; `next` is the first that was not.
fn check_sent(sequence: u64, next: u64) -> Result<(), SessionError> {
    if sequence < next { Ok(()) } else { Err(SessionError::NeverSent { sequence, sent: next - 1 }) }
}
