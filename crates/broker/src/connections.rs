//! The connections being served, and whose they are. It knows no MQTT packets.
//!
//! When there is no room, the oldest connection that has said nothing makes it: who is silent locks out no one.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tracing::field::Empty;
use tracing::{Span, info_span};
use vitalwire_registry::{Directory, User};

use crate::wake::Cut;

/// One accepted connection.
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// What is logged of the connection is logged in it.
    pub(crate) span: Span,
    pub(crate) cut: Arc<Cut>,
    /// It sent CONNECT.
    has_spoken: AtomicBool,
    admitted: OnceLock<Arc<User>>,
}

impl Connection {
    /// It sent CONNECT, and its password is being checked.
    pub(crate) fn begin_login(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    /// It is logged in. There is one CONNECT a connection.
    pub(crate) fn admit(&self, user: Arc<User>, client_id: &str) {
        self.span.record("user", user.name.as_str());
        self.span.record("client_id", client_id);
        let _ = self.admitted.set(user);
    }

    /// Whether the user may still do what it could at its login.
    fn is_outdated(&self, directory: &Directory) -> bool {
        self.admitted.get().is_some_and(|user| directory.users.get(&user.name).is_none_or(|now| now != user))
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
    // In the order in which they came.
    live: BTreeMap<u64, Arc<Connection>>,
    next: u64,
    addresses: HashMap<IpAddr, usize>,
    evicted: u64,
}

impl Tables {
    /// Ends the oldest connection that has said nothing, of this address or of any; whether there was one.
    fn evict(&mut self, address: Option<IpAddr>) -> bool {
        let is_silent = |connection: &Connection| {
            !connection.has_spoken.load(Ordering::Relaxed)
                && address.is_none_or(|address| connection.peer.ip() == address)
        };
        let Some(key) = self.live.iter().find(|(_, of)| is_silent(of)).map(|(key, _)| *key) else {
            return false;
        };
        if let Some(connection) = self.remove(key) {
            connection.cut.cut();
        }
        self.evicted += 1;
        true
    }

    fn remove(&mut self, key: u64) -> Option<Arc<Connection>> {
        let connection = self.live.remove(&key)?;
        let address = connection.peer.ip();
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(connection)
    }
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
        if tables.live.len() + tables.reserved >= self.caps.total_max && !tables.evict(None) {
            return Err(Full::Total(self.caps.total_max));
        }
        tables.reserved += 1;
        Ok(Place { table: Arc::clone(self) })
    }

    fn enter(self: &Arc<Self>, peer: SocketAddr) -> Result<Entry, Full> {
        let mut tables = self.tables();
        let here = tables.addresses.get(&peer.ip()).copied().unwrap_or(0);
        if here >= self.caps.per_address_max && !tables.evict(Some(peer.ip())) {
            return Err(Full::Address(self.caps.per_address_max));
        }
        *tables.addresses.entry(peer.ip()).or_insert(0) += 1;
        let key = tables.next;
        tables.next += 1;
        let connection = Arc::new(Connection {
            peer,
            span: info_span!("mqtt", %peer, user = Empty, client_id = Empty),
            cut: Arc::new(Cut::default()),
            has_spoken: AtomicBool::new(false),
            admitted: OnceLock::new(),
        });
        tables.live.insert(key, Arc::clone(&connection));
        drop(tables);
        Ok(Entry { table: Arc::clone(self), key, connection })
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

    /// How many are logged in now.
    pub(crate) fn admitted(&self) -> usize {
        self.tables().live.values().filter(|connection| connection.admitted.get().is_some()).count()
    }

    /// How many were ended since the start to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.tables().evicted
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
        // One that made room is out already.
        self.table.tables().remove(self.key);
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
        let enter = |peer| enter(peer).inspect(|entry| entry.connection.begin_login());
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
        entry.connection.begin_login();
        assert_eq!(table.reserve().err(), Some(Full::Total(2)));
        assert_eq!(second.enter(peer(1, 2)).err(), Some(Full::Address(1)));
        let third = table.reserve().ok().unwrap();
        drop((entry, third));
        assert_eq!(table.tables().reserved, 0);
    }

    #[test]
    fn who_is_silent_makes_room_the_oldest_first_and_who_logs_in_does_not() {
        let table = Arc::new(Connections::new(Caps { total_max: 3, per_address_max: 2 }));
        let enter = |peer| table.reserve().and_then(|place| place.enter(peer));
        let [first, second] = [1, 2].map(|port| enter(peer(1, port)).ok().unwrap());
        first.connection.begin_login();
        let third = enter(peer(1, 3)).ok().unwrap();
        assert!(second.connection.cut.is_cut() && !first.connection.cut.is_cut());
        drop(second);
        third.connection.begin_login();
        assert_eq!(enter(peer(1, 4)).err(), Some(Full::Address(2)));
        let other = enter(peer(2, 1)).ok().unwrap();
        let _fourth = enter(peer(3, 1)).ok().unwrap();
        assert!(other.connection.cut.is_cut(), "any silent one makes room for all");
        assert_eq!(table.evicted(), 2);
        drop((first, other));
        assert!(enter(peer(1, 5)).is_ok());
    }
}
