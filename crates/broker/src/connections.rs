//! The connections being served, whose they are, and which client id belongs to whom. It knows no MQTT packets.
//!
//! A client id belongs to the user who uses it: while a connection or a stored session has it, another user can neither
//! take the connection over nor read the session's queue.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mqtt5::types::WillMessage;
use tokio::sync::Notify;
use tracing::field::Empty;
use tracing::{Span, info_span};
use vitalwire_registry::{Directory, User};

use crate::wake::Cut;

tokio::task_local! {
    /// The connection that the current task serves; how the broker crate's callbacks learn whom they are asked about.
    pub(crate) static CONNECTION: Arc<Connection>;
}

/// One accepted connection.
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// What is logged of the connection is logged in it.
    pub(crate) span: Span,
    pub(crate) cut: Arc<Cut>,
    admitted: OnceLock<Admitted>,
    closing: AtomicBool,
}

/// Who came in.
pub(crate) struct Admitted {
    pub(crate) user: Arc<User>,
    pub(crate) client_id: String,
    pub(crate) will: Option<WillMessage>,
}

impl Connection {
    pub(crate) fn admit(&self, admitted: Admitted) {
        self.span.record("user", admitted.user.name.as_str());
        self.span.record("client_id", admitted.client_id.as_str());
        // The broker crate asks once a connection: a second CONNECT is a protocol error.
        let _ = self.admitted.set(admitted);
    }

    pub(crate) fn admitted(&self) -> Option<&Admitted> {
        self.admitted.get()
    }

    /// The connection is over; what is published in its name from now on is its will.
    pub(crate) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Whether the user may still do what it could at its login.
    fn is_outdated(&self, directory: &Directory) -> bool {
        self.admitted().is_some_and(|admitted| {
            directory.users.get(&admitted.user.name).is_none_or(|now| **now != *admitted.user)
        })
    }
}

/// How many connections are let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) total_max: usize,
    pub(crate) per_address_max: usize,
}

/// Why one more is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("{0} connections are open, as many as there may be")]
    Total(usize),
    #[error("{0} connections are open from this address, as many as there may be")]
    Address(usize),
}

#[derive(Default)]
struct Tables {
    // Places of connections whose address is not known yet.
    reserved: usize,
    live: HashMap<u64, Arc<Connection>>,
    next: u64,
    addresses: HashMap<IpAddr, usize>,
    // Client id → its user and how many connections have it (two during a take-over).
    claims: HashMap<String, (String, usize)>,
}

/// The table of all connections.
pub(crate) struct Connections {
    caps: Caps,
    tables: Mutex<Tables>,
    left: Notify,
}

impl Connections {
    pub(crate) fn new(caps: Caps) -> Self {
        Self { caps, tables: Mutex::default(), left: Notify::new() }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a place for a connection whose address may not be known yet, until the place is dropped.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<Place, Full> {
        let mut tables = self.tables();
        if tables.live.len() + tables.reserved >= self.caps.total_max {
            return Err(Full::Total(self.caps.total_max));
        }
        tables.reserved += 1;
        Ok(Place { table: Arc::clone(self) })
    }

    fn enter(self: &Arc<Self>, peer: SocketAddr) -> Result<Entry, Full> {
        let mut tables = self.tables();
        let here = tables.addresses.entry(peer.ip()).or_insert(0);
        if *here >= self.caps.per_address_max {
            return Err(Full::Address(self.caps.per_address_max));
        }
        *here += 1;
        let key = tables.next;
        tables.next += 1;
        let connection = Arc::new(Connection {
            peer,
            span: info_span!("mqtt", %peer, user = Empty, client_id = Empty),
            cut: Arc::new(Cut::default()),
            admitted: OnceLock::new(),
            closing: AtomicBool::new(false),
        });
        tables.live.insert(key, Arc::clone(&connection));
        drop(tables);
        Ok(Entry { table: Arc::clone(self), key, connection })
    }

    /// Claims the client id for the user. `Err` names the user that has it. Every claim must be followed by `admit` on
    /// the same connection or by `release`.
    pub(crate) fn claim(&self, client_id: &str, user: &str) -> Result<(), String> {
        let mut tables = self.tables();
        let (owner, count) =
            tables.claims.entry(client_id.to_owned()).or_insert_with(|| (user.to_owned(), 0));
        if owner != user {
            return Err(owner.clone());
        }
        *count += 1;
        Ok(())
    }

    pub(crate) fn release(&self, client_id: &str) {
        let mut tables = self.tables();
        if let Some((_, count)) = tables.claims.get_mut(client_id) {
            *count -= 1;
            if *count == 0 {
                tables.claims.remove(client_id);
            }
        }
    }

    /// Cuts every connection whose user is not as it was at the login. Returns how many.
    pub(crate) fn cut_outdated(&self, directory: &Directory) -> usize {
        let outdated: Vec<_> = self
            .tables()
            .live
            .values()
            .filter(|connection| connection.is_outdated(directory))
            .cloned()
            .collect();
        outdated.iter().for_each(|connection| connection.cut.cut());
        outdated.len()
    }

    pub(crate) fn cut_all(&self) {
        let all: Vec<_> = self.tables().live.values().cloned().collect();
        all.iter().for_each(|connection| connection.cut.cut());
    }

    /// Returns when no connection that was cut is served any more.
    pub(crate) async fn cut_ones_left(&self) {
        loop {
            let left = self.left.notified();
            if !self.tables().live.values().any(|connection| connection.cut.is_cut()) {
                return;
            }
            left.await;
        }
    }

    /// How many are admitted now.
    pub(crate) fn admitted(&self) -> usize {
        self.tables().live.values().filter(|connection| connection.admitted().is_some()).count()
    }
}

/// A place that is kept for a connection.
pub(crate) struct Place {
    table: Arc<Connections>,
}

impl Place {
    /// Lets the connection in, until the returned entry is dropped.
    pub(crate) fn enter(self, peer: SocketAddr) -> Result<Entry, Full> {
        // The place itself is free again when this returns: nothing waits in between.
        self.table.enter(peer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.tables().reserved -= 1;
    }
}

/// A connection's place in the table.
pub(crate) struct Entry {
    table: Arc<Connections>,
    key: u64,
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut tables = self.table.tables();
        tables.live.remove(&self.key);
        let address = self.connection.peer.ip();
        if let Some(count) = tables.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                tables.addresses.remove(&address);
            }
        }
        drop(tables);
        if let Some(admitted) = self.connection.admitted() {
            self.table.release(&admitted.client_id);
        }
        self.table.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], port))
    }

    #[test]
    fn connections_are_capped_in_all_and_by_address_and_places_come_back() {
        let table = Arc::new(Connections::new(Caps { total_max: 3, per_address_max: 2 }));
        let enter = |peer| table.reserve().and_then(|place| place.enter(peer));
        let first = enter(peer(1, 1)).ok().unwrap();
        let second = enter(peer(1, 2)).ok().unwrap();
        assert_eq!(enter(peer(1, 3)).err(), Some(Full::Address(2)));
        let _third = enter(peer(2, 1)).ok().unwrap();
        drop(first);
        let _fourth = enter(peer(3, 1)).ok().unwrap();
        assert_eq!(enter(peer(1, 4)).err(), Some(Full::Total(3)));
        drop(second);
        assert!(enter(peer(1, 5)).is_ok());
    }

    #[test]
    fn reserved_places_count_until_they_are_taken_or_given_back() {
        let table = Arc::new(Connections::new(Caps { total_max: 2, per_address_max: 1 }));
        let [first, second] = [table.reserve().ok().unwrap(), table.reserve().ok().unwrap()];
        assert_eq!(table.reserve().err(), Some(Full::Total(2)));
        let entry = first.enter(peer(1, 1)).ok().unwrap();
        assert_eq!(table.reserve().err(), Some(Full::Total(2)));
        assert_eq!(second.enter(peer(1, 2)).err(), Some(Full::Address(1)));
        let third = table.reserve().ok().unwrap();
        drop((entry, third));
        assert_eq!(table.tables().reserved, 0);
    }

    #[test]
    fn a_client_id_is_its_users_until_the_last_connection_leaves() {
        let table = Connections::new(Caps { total_max: 1, per_address_max: 1 });
        table.claim("display", "ana").unwrap();
        table.claim("display", "ana").unwrap();
        table.release("display");
        assert_eq!(table.claim("display", "bob"), Err("ana".to_owned()));
        table.release("display");
        assert_eq!(table.claim("display", "bob"), Ok(()));
    }
}
