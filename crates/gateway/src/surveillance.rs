//! The surveillance: watches over every patient, whoever looks.

mod desk;

pub(crate) use desk::Desk;
