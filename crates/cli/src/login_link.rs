//! A link that was shown to a person begins to log a user in to the dashboard. Makes and shows none.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use vitalwire_access::UserName;
use vitalwire_dashboard::LoginLink;
use vitalwire_registry::Registry;

/// How long it can be used where no one says: a server is set up meanwhile.
pub(crate) const LASTS: Duration = Duration::from_secs(24 * 3_600);

/// Puts the link on record, and keeps it in the data folder.
///
/// # Errors
/// When there is no such user, or a file cannot be written.
pub(crate) fn keep(
    link: &LoginLink,
    registry: &Registry,
    data: &Path,
    name: &UserName,
    lasts: Duration,
) -> anyhow::Result<()> {
    let users = registry.users()?;
    let user = users.iter().find(|user| user.name == *name);
    let user = user.with_context(|| format!("{name} cannot log in: no row of that user can be used"))?;
    registry.record_login_link(name.as_str(), &format!("for {}", humantime::format_duration(lasts)))?;
    link.keep(data, user, lasts).context("the link that was shown does not work")
}
