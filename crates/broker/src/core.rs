//! The broker without sockets and clocks: topics, subscriptions, sessions, retained messages. Connections' tasks call it, in turns,
//! and write what lies ready for their clients; who publishes calls it, too, and never waits.
//!
//! A message is looked up once by its topic, which knows its receivers until a subscription changes, and encoded once a
//! protocol version; what a receiver gets in a row is copied at once. Messages of QoS 1 and 2 that someone cannot get now go
//! into the log, once, and those who are behind read it by themselves. Who is away for long, or so far behind that the log has
//! not all any more, reads readings in the archive instead.

mod changes;
pub(crate) mod filters;
mod inbound;
mod listing;
pub(crate) mod log;
mod publish;
pub(crate) mod replay;
mod retained;
pub(crate) mod session;
mod sessions;
pub(crate) mod turn;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub(crate) use self::changes::Changes;
use self::filters::{Filters, Group, Receiver, SessionId};
pub(crate) use self::log::LogChanges;
use self::log::{Log, LogLimits};
use self::replay::Tail;
use self::session::{Capacity, Sent, Session, Will};
use crate::message::Publication;

/// Buffers that grew beyond this are given back.
pub(crate) const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// After so many messages in a full log, it is looked again what is still needed of it.
const RELEASE_EVERY: u32 = 256;

/// What the core may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreLimits {
    pub(crate) log: LogLimits,
    pub(crate) subscriptions_max: usize,
    pub(crate) sessions_per_user_max: usize,
    pub(crate) session_expiry_s_max: u32,
    pub(crate) retained_max: usize,
    pub(crate) retained_bytes_max: usize,
    /// Messages outside the log that wait for one session.
    pub(crate) direct_max: usize,
    /// Bytes that wait for all sockets together; at it, clients that are behind miss QoS 0 messages.
    pub(crate) out_bytes_max: usize,
    /// Bytes of topics whose receivers are remembered. At it all are forgotten, and found again as they come.
    pub(crate) topics_bytes_max: usize,
}

/// What a topic's messages go to, until a subscription or a connection changes.
struct Topic {
    name: Arc<str>,
    /// The version of subscriptions and connections that the rest was found for.
    version: u64,
    receivers: Box<[Receiver]>,
    groups: Box<[Group]>,
    /// A session that is not connected wants messages of QoS 1.
    wanted_later: bool,
    /// One of them reads none of it in the archive.
    logged_later: bool,
}

/// What came of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) at: At,
    /// The session was there before.
    pub(crate) present: bool,
    pub(crate) expiry_s: u32,
    /// QoS 2 publications of the client that were taken and not released.
    pub(crate) received: HashSet<u16>,
    /// Of the connection that was taken over.
    pub(crate) will: Option<Will>,
}

/// Which connection of which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
    /// The session's serial number.
    pub(crate) serial: u64,
}

/// Why a client's session is not for a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Claimed {
    #[error("the client id belongs to another user")]
    Owner(Arc<str>),
    #[error("the user has too many sessions")]
    TooMany,
}

/// Who connects.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer {
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Arc<str>,
    pub(crate) clean: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<Will>,
    pub(crate) capacity: Capacity,
}

/// Numbers since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CoreStats {
    pub(crate) published: u64,
    pub(crate) sent: Sent,
    /// Messages that were to be retained and were not, because of a limit.
    pub(crate) not_retained: u64,
    /// Entries that the archive had no more when someone missed them.
    pub(crate) gone: u64,
}

/// All sessions, by their numbers. A number is free again when its session ended.
#[derive(Default)]
struct Sessions {
    places: Vec<Option<Box<Session>>>,
    free: Vec<SessionId>,
}

impl Sessions {
    fn get(&self, id: SessionId) -> Option<&Session> {
        self.places.get(id as usize)?.as_deref()
    }

    fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.places.get_mut(id as usize)?.as_deref_mut()
    }

    fn all(&self) -> impl Iterator<Item = &Session> {
        self.places.iter().flatten().map(Box::as_ref)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.places.iter_mut().flatten().map(Box::as_mut)
    }

    /// The numbers that sessions may have.
    fn ids(&self) -> impl Iterator<Item = SessionId> + use<> {
        (0..).take(self.places.len())
    }

    fn add(&mut self, session: Session) -> SessionId {
        let session = Some(Box::new(session));
        if let Some(id) = self.free.pop()
            && let Some(place) = self.places.get_mut(id as usize)
        {
            *place = session;
            return id;
        }
        self.places.push(session);
        SessionId::try_from(self.places.len() - 1).expect("there are far fewer sessions")
    }

    fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.places.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(*session)
    }
}

/// See the module.
pub(crate) struct Core {
    limits: CoreLimits,
    /// The broker's own clock, which runs while the broker does: seconds.
    pub(crate) now_s: u64,
    /// By a hash that is several times quicker than the standard library's; it is seeded, and only publishers with a login choose
    /// topics.
    index: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    /// The topic that was looked up last: whoever asks whether a message is wanted publishes it next.
    last: usize,
    topics: Vec<Topic>,
    /// What they take.
    topics_bytes: usize,
    filters: Filters,
    version: u64,
    sessions: Sessions,
    by_client: HashMap<Arc<str>, SessionId>,
    pub(crate) next_number: u64,
    retained: BTreeMap<Arc<str>, Arc<Publication>>,
    /// What they take.
    retained_bytes: usize,
    /// Topics whose retained message the disk has not, or has another.
    retained_changed: HashSet<Arc<str>>,
    /// Stored sessions that ended since the disk was told.
    gone: HashSet<Arc<str>>,
    log: Log,
    has_archive: bool,
    tail: Tail,
    appended: u32,
    /// Encoded messages of this turn, of each protocol version, at QoS 0.
    encoded: [Vec<u8>; 2],
    /// Who has new output and was not woken.
    dirty: Vec<SessionId>,
    /// Bytes that wait for sockets.
    out_bytes: usize,
    stats: CoreStats,
}

impl Core {
    pub(crate) fn new(limits: CoreLimits, log: Log) -> Self {
        Self {
            limits,
            now_s: 0,
            index: HashMap::default(),
            last: 0,
            topics: Vec::new(),
            topics_bytes: 0,
            filters: Filters::default(),
            version: 1,
            sessions: Sessions::default(),
            by_client: HashMap::new(),
            next_number: 1,
            retained: BTreeMap::new(),
            retained_bytes: 0,
            retained_changed: HashSet::new(),
            gone: HashSet::new(),
            log,
            has_archive: false,
            tail: Tail::default(),
            appended: 0,
            encoded: Default::default(),
            dirty: Vec::new(),
            out_bytes: 0,
            stats: CoreStats::default(),
        }
    }

    /// Messages dropped are those of QoS 0 that a client took too slowly, and those that the log had no room for.
    pub(crate) fn stats(&self) -> CoreStats {
        let Sent { sent, dropped } = self.stats.sent;
        CoreStats { sent: Sent { sent, dropped: dropped + self.log.dropped() }, ..self.stats }
    }

    /// The session, while this connection has it.
    fn at(&mut self, at: At) -> Option<&mut Session> {
        let session = self.sessions.get_mut(at.session)?;
        session.link.as_ref().is_some_and(|link| link.number == at.number).then_some(session)
    }
}

/// How a connection ended.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// With DISCONNECT, which makes the will void.
    pub(crate) in_good_order: bool,
    /// Another expiry of the session than at CONNECT.
    pub(crate) expiry_s: Option<u32>,
}

#[cfg(test)]
mod tests;
