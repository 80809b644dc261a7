//! Admission: how many connections there may be, in all and from one address, and who makes room.
//!
//! A flood of connections that never identify themselves cannot keep devices out: the oldest of them is
//! closed for the newcomer. A device identifies itself with its first frame, within milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lease::{Ending, Lease};
use crate::limits::Limits;

/// Why a newcomer was closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0} connections are open, all of them identified devices")]
    Full(usize),
    #[error("{0} connections are open from this address, all of them identified devices")]
    AddressFull(usize),
}

impl Refusal {
    /// What metrics call it.
    pub(crate) fn label(self) -> &'static str {
        "Refused"
    }
}

/// The connections that are open.
#[derive(Debug)]
pub(crate) struct Admissions {
    connections_max: usize,
    per_address_max: usize,
    table: Mutex<Table>,
}

/// Trees, because a hash table keeps the memory of its largest size.
#[derive(Debug, Default)]
struct Table {
    last_number: u64,
    total: usize,
    /// Connections that have not identified themselves, the oldest first.
    unidentified: BTreeSet<u64>,
    addresses: BTreeMap<IpAddr, AddressEntry>,
    /// With the address of each, unless a proxy has not told it yet.
    leases: BTreeMap<u64, (Option<IpAddr>, Lease)>,
}

#[derive(Debug, Default)]
struct AddressEntry {
    total: usize,
    unidentified: BTreeSet<u64>,
}

/// A place among the open connections; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Admission {
    admissions: Arc<Admissions>,
    number: u64,
}

impl Admissions {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            connections_max: limits.connections_max,
            per_address_max: limits.connections_per_address_max,
            table: Mutex::default(),
        }
    }

    /// Gives `peer` a place, evicting the oldest unidentified connection where there is no free one.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, lease: &Lease) -> Result<Admission, Refusal> {
        let mut table = self.table();
        if !self.make_room_at(&mut table, peer)? {
            self.make_room(&mut table)?;
        }
        let number = table.enter(lease.clone());
        table.settle_at(number, peer);
        Ok(Admission { admissions: Arc::clone(self), number })
    }

    /// The same for a connection of a proxy, whose own address says nothing; [`Admission::come_from`] follows.
    pub(crate) fn admit_proxied(self: &Arc<Self>, lease: &Lease) -> Result<Admission, Refusal> {
        let mut table = self.table();
        self.make_room(&mut table)?;
        let number = table.enter(lease.clone());
        Ok(Admission { admissions: Arc::clone(self), number })
    }

    fn make_room(&self, table: &mut Table) -> Result<(), Refusal> {
        if table.total >= self.connections_max {
            let oldest = table.unidentified.first().copied();
            table.evict(oldest.ok_or(Refusal::Full(self.connections_max))?);
        }
        Ok(())
    }

    /// Whether a connection of the address had to go.
    fn make_room_at(&self, table: &mut Table, peer: IpAddr) -> Result<bool, Refusal> {
        let here = table.addresses.get(&peer);
        let Some(here) = here.filter(|here| here.total >= self.per_address_max) else { return Ok(false) };
        let oldest = here.unidentified.first().copied();
        table.evict(oldest.ok_or(Refusal::AddressFull(self.per_address_max))?);
        Ok(true)
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        self.table().total
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn enter(&mut self, lease: Lease) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        self.total += 1;
        self.unidentified.insert(number);
        self.leases.insert(number, (None, lease));
        number
    }

    /// Counts a connection that has not identified itself at its address. One that was evicted meanwhile is not there.
    fn settle_at(&mut self, number: u64, address: IpAddr) {
        if let Some((peer, _)) = self.leases.get_mut(&number) {
            *peer = Some(address);
            let here = self.addresses.entry(address).or_default();
            here.total += 1;
            here.unidentified.insert(number);
        }
    }

    /// Tells a connection to end. Its place counts as free at once, so that the newcomer has it.
    fn evict(&mut self, number: u64) {
        if let Some((_, lease)) = self.leases.get(&number) {
            lease.end(Ending::Evicted);
            self.leave(number);
        }
    }

    fn identified(&mut self, number: u64) {
        self.unidentified.remove(&number);
        let peer = self.leases.get(&number).and_then(|(peer, _)| *peer);
        if let Some(here) = peer.and_then(|peer| self.addresses.get_mut(&peer)) {
            here.unidentified.remove(&number);
        }
    }

    fn leave(&mut self, number: u64) {
        self.identified(number);
        let Some((peer, _)) = self.leases.remove(&number) else { return };
        self.total -= 1;
        let Some(peer) = peer else { return };
        if let Some(here) = self.addresses.get_mut(&peer) {
            here.total -= 1;
            if here.total == 0 {
                self.addresses.remove(&peer);
            }
        }
    }
}

impl Admission {
    /// From now on this connection makes room for no other.
    pub(crate) fn identified(&self) {
        self.admissions.table().identified(self.number);
    }

    /// The proxy has told for whom this connection is. An older one of that address that has not identified itself makes
    /// room where there is none.
    pub(crate) fn come_from(&self, peer: IpAddr) -> Result<(), Refusal> {
        let mut table = self.admissions.table();
        self.admissions.make_room_at(&mut table, peer)?;
        table.settle_at(self.number, peer);
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admissions.table().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn admissions(connections_max: usize, connections_per_address_max: usize) -> Arc<Admissions> {
        Arc::new(Admissions::new(&Limits {
            connections_max,
            connections_per_address_max,
            ..Limits::default()
        }))
    }

    fn lease() -> Lease {
        Lease::new(&CancellationToken::new())
    }

    #[test]
    fn oldest_unidentified_connection_makes_room() {
        let admissions = admissions(2, 2);
        let [device_lease, idle_lease, newcomer_lease] = [lease(), lease(), lease()];
        let device = admissions.admit(A, &device_lease).unwrap();
        device.identified();
        let idle = admissions.admit(A, &idle_lease).unwrap();
        let _newcomer = admissions.admit(A, &newcomer_lease).unwrap();
        assert_eq!(idle_lease.cause(), Some(Ending::Evicted));
        assert_eq!((device_lease.cause(), newcomer_lease.cause()), (None, None));
        drop(idle);
        assert_eq!(admissions.open(), 2, "an evicted connection is not counted out twice");
    }

    #[test]
    fn identified_connections_are_never_evicted() {
        let admissions = admissions(3, 2);
        let held: Vec<_> = [A, A, B].map(|peer| admissions.admit(peer, &lease()).unwrap()).into();
        held.iter().for_each(Admission::identified);
        assert_eq!(admissions.admit(A, &lease()).unwrap_err(), Refusal::AddressFull(2));
        assert_eq!(admissions.admit(B, &lease()).unwrap_err(), Refusal::Full(3));
        drop(held);
        assert_eq!(admissions.open(), 0);
        assert!(admissions.table().addresses.is_empty(), "memory returns to where it was");
    }

    #[test]
    fn one_address_cannot_evict_another_before_the_global_limit() {
        let admissions = admissions(10, 1);
        let [other_lease, first_lease] = [lease(), lease()];
        let _other = admissions.admit(B, &other_lease).unwrap();
        let _first = admissions.admit(A, &first_lease).unwrap();
        let _second = admissions.admit(A, &lease()).unwrap();
        assert_eq!((first_lease.cause(), other_lease.cause()), (Some(Ending::Evicted), None));
    }

    #[test]
    fn proxied_connections_count_at_the_address_that_the_proxy_tells() {
        let admissions = admissions(10, 1);
        let leases = [lease(), lease(), lease()];
        let [first, second, third] = leases.each_ref().map(|lease| admissions.admit_proxied(lease).unwrap());
        first.come_from(A).unwrap();
        second.come_from(B).unwrap();
        third.come_from(A).unwrap();
        assert_eq!(leases.each_ref().map(Lease::cause), [Some(Ending::Evicted), None, None]);
        third.identified();
        let late_lease = lease();
        let late = admissions.admit_proxied(&late_lease).unwrap();
        assert_eq!(late.come_from(A), Err(Refusal::AddressFull(1)));
        drop((first, second, third, late));
        assert_eq!(admissions.open(), 0);
        assert!(admissions.table().addresses.is_empty(), "memory returns to where it was");
    }

    #[test]
    fn a_proxied_connection_that_was_evicted_before_its_header_is_counted_nowhere() {
        let admissions = admissions(1, 1);
        let [first_lease, second_lease] = [lease(), lease()];
        let first = admissions.admit_proxied(&first_lease).unwrap();
        let _second = admissions.admit_proxied(&second_lease).unwrap();
        assert_eq!(first_lease.cause(), Some(Ending::Evicted));
        first.come_from(A).unwrap();
        assert!(admissions.table().addresses.is_empty());
    }
}
