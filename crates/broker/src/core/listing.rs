//! What an operator asks about sessions, and the end of one that he asks for.

use std::sync::Arc;

use super::Core;
use super::session::{Session, Will};
use crate::SessionInfo;

impl Core {
    /// Every session, those that miss most first.
    pub(crate) fn listed(&self) -> Vec<SessionInfo> {
        let mut listed: Vec<_> = self.sessions.all().map(|session| self.info(session)).collect();
        listed.sort_by(|one, other| {
            other.waiting.cmp(&one.waiting).then_with(|| one.client_id.cmp(&other.client_id))
        });
        listed
    }

    fn info(&self, session: &Session) -> SessionInfo {
        let missed = session.behind.as_ref().map_or(0, |behind| self.missed(behind));
        let away_s = session.link.is_none().then(|| self.now_s.saturating_sub(session.left_s));
        let kept_s = u64::from(session.expiry_s);
        SessionInfo {
            client_id: Arc::clone(&session.client_id),
            user: Arc::clone(&session.user),
            away_s,
            kept_s: kept_s.saturating_sub(away_s.unwrap_or(0)),
            filters: session.subscriptions.keys().cloned().collect(),
            waiting: (session.window.len() + session.direct.len()).saturating_add(missed) as u64,
        }
    }

    /// Ends the session of this client id with all that waits for it. Nothing when there is none; else its user and its will,
    /// which is due now.
    pub(crate) fn end_session(&mut self, client_id: &str) -> Option<(Arc<str>, Option<Will>)> {
        let id = self.by_client.get(client_id).copied()?;
        let user = Arc::clone(&self.sessions.get(id)?.user);
        Some((user, self.remove(id).map(|(_, will)| will)))
    }
}
