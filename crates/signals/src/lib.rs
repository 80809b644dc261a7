//! Signals of hearts with beats at known times, for tests and benches: recorded ones ([`wfdb`]) and made ones ([`made`]). It is in no
//! program.

pub mod made;
mod random;
pub mod wfdb;
