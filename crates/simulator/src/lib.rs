//! Software patients and software devices: a modelled patient or a recording gives the values, a fleet of devices
//! sends them as AES-CBC frames over real TCP.
//!
//! It never runs inside the gateway and never reads keys from files: keys, seeds and targets come from the caller.
//! Everything but the network is reproducible: the same seed gives the same values.

pub mod desk;
pub mod fleet;
pub mod hardware;
pub mod modem;
pub mod patient;
pub mod recording;
