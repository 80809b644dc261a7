//! What of the core goes to the disk, and comes back from it.

use std::sync::Arc;

use super::log::{Log, LogChanges};
use super::replay::Tail;
use super::session::{Addressed, Behind, InFlight, Session};
use super::{Core, CoreLimits};
use crate::message::{Lane, PerLane, Publication};
use crate::storage::{DirectRow, InFlightRow, SessionRow, Stored};

/// What changed since the last write.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Topics whose retained message was set, or cleared.
    pub(crate) retained: Vec<(Arc<str>, Option<Arc<Publication>>)>,
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) gone: Vec<Arc<str>>,
    pub(crate) log: PerLane<LogChanges>,
    pub(crate) log_end: u64,
    /// All of the log that is to be stored is here.
    pub(crate) rewrite: bool,
    pub(crate) now_s: u64,
    pub(crate) next_number: u64,
    /// Entries of the archive up to here were published.
    pub(crate) published: Option<u64>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.retained.is_empty()
            && self.sessions.is_empty()
            && self.gone.is_empty()
            && self.log.each().iter().all(|changes| changes.new.is_empty())
            && !self.rewrite
    }
}

impl Core {
    /// The core as the disk has it, with an archive, if there is one, whose newest entry is known or not.
    pub(crate) fn restored(limits: CoreLimits, stored: Stored, archive: Option<Option<u64>>) -> Self {
        let mut log = Log::new(limits.log, stored.log_end);
        log.restore(Lane::Readings, stored.log.readings);
        log.restore(Lane::Others, stored.log.others);
        let mut core = Self::new(limits, log);
        core.now_s = stored.now_s;
        core.next_number = stored.next_number.max(1);
        // An archive that begins anew counts from one again. One that cannot be read yet is the only source until the next start.
        let head = archive.flatten().unwrap_or(u64::MAX);
        core.has_archive = archive.is_some();
        let published = stored.published.or(archive.flatten()).unwrap_or(0);
        core.tail = Tail::new(published.min(head), head);
        for publication in stored.retained {
            core.restore_retained(publication);
        }
        for row in stored.sessions {
            let mut session = session(row, stored.now_s);
            if let Some(behind) = session.behind.as_mut().filter(|_| core.has_archive) {
                behind.entry = behind.entry.min(head);
                behind.begin_replay(stored.log_end, &core.tail);
            }
            core.restore_session(session);
        }
        core
    }

    /// What changed since the last time. Afterwards it counts as written.
    pub(crate) fn take_changes(&mut self) -> Changes {
        self.release();
        let retained = std::mem::take(&mut self.retained_changed);
        let retained = retained.into_iter().map(|topic| {
            let publication = self.retained.get(&topic).cloned();
            (topic, publication)
        });
        let mut changes = Changes { retained: retained.collect(), ..Changes::default() };
        changes.gone = std::mem::take(&mut self.gone).into_iter().collect();
        let (log_end, published) = (self.log.end(), self.tail.published());
        for session in self.sessions.all_mut() {
            if !std::mem::take(&mut session.changed) {
                continue;
            }
            if session.is_stored() {
                session.is_on_disk = true;
                changes.sessions.push(row(session, log_end, published));
            } else if std::mem::take(&mut session.is_on_disk) {
                changes.gone.push(Arc::clone(&session.client_id));
            }
        }
        (changes.log, changes.rewrite) = self.log.take_changes();
        changes.log_end = log_end;
        changes.published = self.has_archive.then_some(published);
        (changes.now_s, changes.next_number) = (self.now_s, self.next_number);
        changes
    }

    /// What could not be written is to be written with the next.
    pub(crate) fn give_back(&mut self, changes: Changes) {
        self.retained_changed.extend(changes.retained.into_iter().map(|(topic, _)| topic));
        self.gone.extend(changes.gone);
        for row in changes.sessions {
            let id = self.by_client.get(&row.client_id).copied();
            match id.and_then(|id| self.sessions.get_mut(id)) {
                Some(session) => session.changed = true,
                None => drop(self.gone.insert(row.client_id)),
            }
        }
        self.log.rewrite();
    }
}

fn row(session: &Session, log_end: u64, published: u64) -> SessionRow {
    let behind = session.behind.as_ref();
    let (position, entry) =
        behind.map_or((log_end, published), |behind| (behind.position.others, behind.entry));
    let window = session.window.iter().map(|in_flight| InFlightRow {
        packet_id: in_flight.packet_id,
        released: in_flight.released,
        message: direct_row(&in_flight.message),
    });
    SessionRow {
        client_id: Arc::clone(&session.client_id),
        user: Arc::clone(&session.user),
        serial: session.serial,
        expiry_s: session.expiry_s,
        left_s: session.link.is_none().then_some(session.left_s),
        subscriptions: session.subscriptions.iter().map(|(filter, of)| (filter.clone(), *of)).collect(),
        position: session.can_miss().then_some(position),
        entry,
        last_packet_id: session.last_packet_id,
        window: window.collect(),
        direct: session.direct.iter().filter(|of| of.qos > 0).map(direct_row).collect(),
        received: session.received.iter().copied().collect(),
    }
}

fn direct_row(message: &Addressed) -> DirectRow {
    DirectRow {
        publication: (*message.publication).clone(),
        qos: message.qos,
        retain: message.retain,
        ids: message.ids.as_deref().unwrap_or_default().to_vec(),
    }
}

fn session(row: SessionRow, now_s: u64) -> Session {
    let mut session = Session::new(row.client_id, row.user, row.serial);
    session.is_on_disk = true;
    session.expiry_s = row.expiry_s;
    // Its connection ended with the process, which is now.
    session.left_s = row.left_s.unwrap_or(now_s);
    session.subscriptions = row.subscriptions.into_iter().collect();
    session.behind = row.position.map(|position| Behind::new(position, row.entry, 0));
    session.last_packet_id = row.last_packet_id;
    session.received = row.received.into_iter().collect();
    let in_flight = |row: InFlightRow| InFlight {
        packet_id: row.packet_id,
        released: row.released,
        message: addressed(row.message),
    };
    session.window = row.window.into_iter().map(in_flight).collect();
    session.direct = row.direct.into_iter().map(addressed).collect();
    session
}

fn addressed(row: DirectRow) -> Addressed {
    let ids = (!row.ids.is_empty()).then(|| row.ids.into());
    Addressed { publication: Arc::new(row.publication), qos: row.qos, retain: row.retain, ids }
}
