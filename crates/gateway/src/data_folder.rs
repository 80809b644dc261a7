//! What the gateway keeps where in the data folder. The registry's and the broker's files are their own.

/// The journal.
pub(crate) const JOURNAL: &str = "journal.db";
/// The folder of profiles.
pub(crate) const PROFILES: &str = "profiles";
