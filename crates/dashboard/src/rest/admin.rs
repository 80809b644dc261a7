//! What admins do (PROTOCOL.md §6.6): devices, patients, users, and the record of it. A change goes off the reactor into the registry,
//! on record with the person's name; the running server learns of it as it learns of those of the command line.

mod audit;
mod devices;
mod keys;
mod patients;
mod users;

use std::time::SystemTime;

use axum::extract::Path;
use vitalwire_access::DeviceId;

use super::Routes;
use crate::failure::Failure;
use crate::time::to_ms;

pub(super) fn routes() -> Routes {
    devices::routes().and(keys::routes()).and(patients::routes()).and(users::routes()).and(audit::routes())
}

/// A device by its name in an address; whether it is enrolled says the registry.
fn named(Path(name): &Path<String>) -> Result<DeviceId, Failure> {
    name.parse().map_err(|_| Failure::UnknownDevice)
}

fn us_to_ms(us: i64) -> i64 {
    us.div_euclid(1_000)
}

fn until(time: Option<SystemTime>, now: SystemTime) -> Option<i64> {
    time.filter(|until| now < *until).map(to_ms)
}
