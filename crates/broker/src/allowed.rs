//! What of a stored session its user may have today. It changes nothing by itself.

use mqtt5::broker::storage::ClientSession;
use vitalwire_access::{Role, acl};
use vitalwire_registry::Directory;

use crate::storage::StoredSession;

/// The role that the session's user has in `directory`; `None` when the user is gone.
pub(crate) fn role<'a>(directory: &'a Directory, session: &ClientSession) -> Option<&'a Role> {
    session.user_id.as_deref().and_then(|name| directory.users.get(name)).map(|user| &user.role)
}

/// A stored session as its user may have it today; `None` when the user is gone.
pub(crate) fn allowed_part(directory: &Directory, mut stored: StoredSession) -> Option<StoredSession> {
    let role = role(directory, &stored.session)?;
    stored.session.subscriptions.retain(|filter, _| acl::may_subscribe(role, filter));
    stored.queue.retain(|message| acl::may_subscribe(role, &message.topic));
    stored.inflight.retain(|message| acl::may_subscribe(role, &message.topic));
    Some(stored)
}
