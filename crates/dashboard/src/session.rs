//! Sessions of people who logged in, and links that log in once. Ids are 256 random bits; only their hashes are kept, so that who
//! reads the file can use none. It knows no HTTP and reads no clock.

mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use vitalwire_access::UserName;
use vitalwire_registry::User;
use zeroize::Zeroizing;

use self::store::Store;
pub use self::store::{FILE, StoreError};
use crate::limits::{DashboardLimits, SESSIONS_PER_USER_MAX};

/// How much later a use must be to be written: a session that a crash makes this much older is no harm.
const USE_WRITTEN_AFTER_MS: i64 = 60_000;

/// What is kept of an id or a password.
pub(crate) type Hash = [u8; 32];

/// An id as the browser has it.
pub(crate) type Token = Zeroizing<String>;

/// Someone who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) user: UserName,
    /// Of the password's hash at the login: with another password it ends.
    password: Hash,
    /// Milliseconds since 1970.
    began_ms: i64,
    used_ms: i64,
    /// The use that the file knows.
    written_ms: i64,
}

/// What logs a user in once.
struct Link {
    id: Hash,
    user: UserName,
    /// As in a session: with another password it opens nothing.
    password: Hash,
    until_ms: i64,
}

impl Link {
    fn new(token: &Token, user: &User, lasts: Duration, now_ms: i64) -> Self {
        Self {
            id: hash(token.as_bytes()),
            user: user.name.clone(),
            password: password(user),
            until_ms: now_ms.saturating_add(milliseconds(lasts)),
        }
    }
}

/// Who is logged in now. Its lock is held for a look alone, never while the disk works: each live connection asks each second.
pub(crate) struct Known {
    sessions: Mutex<BTreeMap<Hash, Session>>,
    idle_ms: i64,
    age_ms_max: i64,
}

/// All sessions. What changes is on the disk when a call returns, if that takes it: keep it off the reactor.
pub(crate) struct Sessions {
    known: Arc<Known>,
    store: Option<Store>,
}

fn hash(text: &[u8]) -> Hash {
    Sha256::digest(text).into()
}

fn password(user: &User) -> Hash {
    hash(user.password_hash.as_str().as_bytes())
}

/// 256 random bits.
pub(crate) fn token() -> Token {
    let id = Zeroizing::new(rand::random::<[u8; 32]>());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*id))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Keeps a link in the data folder, whether a server runs on it or not.
pub(crate) fn keep_link(
    data: &Path,
    token: &Token,
    user: &User,
    lasts: Duration,
    now_ms: i64,
) -> Result<(), StoreError> {
    Store::open(data)?.insert_link(&Link::new(token, user, lasts, now_ms), now_ms)
}

impl Sessions {
    /// Those of the data folder. Where its file cannot be used, sessions last until the server stops: patients can be looked at on a
    /// full disk, too.
    pub(crate) fn open(data: &Path, limits: &DashboardLimits, now_ms: i64) -> Self {
        let opened = Store::open(data).and_then(|store| Ok((store.load()?, Some(store))));
        let (sessions, store) = opened.unwrap_or_else(|error| {
            tracing::error!(%error, "logins to the dashboard last until the server stops");
            (BTreeMap::new(), None)
        });
        let known = Known {
            sessions: Mutex::new(sessions),
            idle_ms: milliseconds(limits.session_idle),
            age_ms_max: milliseconds(limits.session_age_max),
        };
        let mut this = Self { known: Arc::new(known), store };
        this.end_old(now_ms);
        this
    }

    /// Who is logged in, for those who only look.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Begins one; whoever came with another id has a new one now.
    pub(crate) fn begin(&mut self, user: &User, now_ms: i64) -> Token {
        self.end_old(now_ms);
        if let Some(oldest) = self.known.one_too_many(&user.name) {
            let _ = self.remove(&oldest);
        }
        let token = token();
        let session = Session {
            user: user.name.clone(),
            password: password(user),
            began_ms: now_ms,
            used_ms: now_ms,
            written_ms: now_ms,
        };
        let id = hash(token.as_bytes());
        if let Some(Err(error)) = self.store.as_ref().map(|store| store.insert(&id, &session)) {
            tracing::error!(%error, "a login to the dashboard lasts until the server stops");
        }
        self.known.sessions().insert(id, session);
        token
    }

    /// Ends one.
    pub(crate) fn end(&mut self, token: &str) -> Result<(), StoreError> {
        self.remove(&hash(token.as_bytes()))
    }

    /// Ends those that are over, and writes when the others were used.
    pub(crate) fn tidy(&mut self, now_ms: i64) -> Result<(), StoreError> {
        self.end_old(now_ms);
        let Some(store) = &self.store else { return Ok(()) };
        for (id, used_ms) in self.known.unwritten() {
            store.used(&id, used_ms)?;
            if let Some(session) = self.known.sessions().get_mut(&id) {
                session.written_ms = used_ms;
            }
        }
        Ok(())
    }

    /// The token of a link that logs this user in, once and in this time.
    pub(crate) fn link(&mut self, user: &User, lasts: Duration, now_ms: i64) -> Result<Token, StoreError> {
        let token = token();
        let store = self.store.as_ref().ok_or(StoreError::Absent)?;
        store.insert_link(&Link::new(&token, user, lasts, now_ms), now_ms)?;
        Ok(token)
    }

    /// Whom a link logs in; `user` knows who may. It is used now, also when it does not.
    pub(crate) fn follow_link<U: AsRef<User>>(
        &mut self,
        token: &str,
        now_ms: i64,
        user: impl FnOnce(&UserName) -> Option<U>,
    ) -> Result<Option<U>, StoreError> {
        let store = self.store.as_ref().ok_or(StoreError::Absent)?;
        let Some(link) = store.take_link(&hash(token.as_bytes()))? else { return Ok(None) };
        let found = user(&link.user).filter(|user| password(user.as_ref()) == link.password);
        Ok(found.filter(|_| link.until_ms > now_ms))
    }

    fn end_old(&mut self, now_ms: i64) {
        // Those that stay in the file are over when it is read, too.
        self.known.over(now_ms).iter().for_each(|id| drop(self.remove(id)));
    }

    fn remove(&mut self, id: &Hash) -> Result<(), StoreError> {
        // First here: who logs out is out, also when the disk is full.
        self.known.sessions().remove(id);
        self.store.as_ref().map_or(Ok(()), |store| store.remove(id))
    }
}

impl Known {
    /// Whose session it is, if it goes on; `user` knows who may still log in. That is a use of it.
    pub(crate) fn find<U: AsRef<User>>(
        &self,
        token: &str,
        now_ms: i64,
        user: impl FnOnce(&UserName) -> Option<U>,
    ) -> Option<U> {
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&hash(token.as_bytes()))?;
        if is_over(session, now_ms, self.idle_ms, self.age_ms_max) {
            return None;
        }
        let user = user(&session.user)?;
        if password(user.as_ref()) != session.password {
            return None;
        }
        session.used_ms = session.used_ms.max(now_ms);
        Some(user)
    }

    /// The session that a user used longest ago, when there is no room for another one.
    fn one_too_many(&self, user: &UserName) -> Option<Hash> {
        let sessions = self.sessions();
        let of_user = || sessions.iter().filter(|(_, session)| session.user == *user);
        let is_full = of_user().count() >= SESSIONS_PER_USER_MAX;
        of_user().min_by_key(|(_, session)| session.used_ms).map(|(id, _)| *id).filter(|_| is_full)
    }

    fn over(&self, now_ms: i64) -> Vec<Hash> {
        let is_over =
            |(_, session): &(&Hash, &Session)| is_over(session, now_ms, self.idle_ms, self.age_ms_max);
        self.sessions().iter().filter(is_over).map(|(id, _)| *id).collect()
    }

    /// Those with a use that the file does not know, and when it was.
    fn unwritten(&self) -> Vec<(Hash, i64)> {
        let is_late =
            |(_, session): &(&Hash, &Session)| session.used_ms - session.written_ms >= USE_WRITTEN_AFTER_MS;
        self.sessions().iter().filter(is_late).map(|(id, session)| (*id, session.used_ms)).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<Hash, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that was set back makes no session longer: what lies ahead is over, too.
fn is_over(session: &Session, now_ms: i64, idle_ms: i64, age_ms_max: i64) -> bool {
    let age_ms = now_ms.saturating_sub(session.began_ms);
    let idle_for_ms = now_ms.saturating_sub(session.used_ms);
    age_ms >= age_ms_max || idle_for_ms >= idle_ms || age_ms < -USE_WRITTEN_AFTER_MS
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use vitalwire_access::{PasswordHash, Role};

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const NOW_MS: i64 = 1_795_556_251_123;

    fn user(name: &str, password: &str) -> Arc<User> {
        let password_hash = PasswordHash::new(password, &[7; 16]).unwrap();
        Arc::new(User { name: name.parse().unwrap(), role: Role::Admin, password_hash })
    }

    fn sessions(folder: &Path) -> Sessions {
        Sessions::open(folder, &DashboardLimits::default(), NOW_MS)
    }

    #[test]
    fn a_session_ends_when_it_is_idle_old_or_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let ana = user("ana", "correct horse");
        let find = |sessions: &mut Sessions, token: &Token, after: i64| {
            sessions.known.find(token, NOW_MS + after * MINUTE_MS, |_| Some(Arc::clone(&ana))).is_some()
        };
        let token = sessions.begin(&ana, NOW_MS);
        assert_eq!(token.len(), 43, "256 bits");
        assert!(find(&mut sessions, &token, 29));
        assert!(find(&mut sessions, &token, 58), "the last use counts");
        assert!(!find(&mut sessions, &token, 88), "idle");
        let token = sessions.begin(&ana, NOW_MS);
        for after in (0..12 * 60).step_by(20) {
            assert!(find(&mut sessions, &token, after), "{after}");
        }
        assert!(!find(&mut sessions, &token, 12 * 60), "old");
        let token = sessions.begin(&ana, NOW_MS);
        sessions.end(&token).unwrap();
        assert!(!find(&mut sessions, &token, 0), "ended");
        assert!(!find(&mut sessions, &Zeroizing::new("guessed".to_owned()), 0));
    }

    #[test]
    fn a_session_ends_with_its_user_and_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let ana = user("ana", "correct horse");
        let token = sessions.begin(&ana, NOW_MS);
        assert!(sessions.known.find(&token, NOW_MS, |_| None::<Arc<User>>).is_none());
        assert!(sessions.known.find(&token, NOW_MS, |_| Some(user("ana", "battery staple"))).is_none());
        assert!(
            sessions.known.find(&token, NOW_MS, |name| (name.as_str() == "ana").then_some(ana)).is_some()
        );
    }

    #[test]
    fn a_restart_keeps_sessions_and_no_file_has_an_id() {
        let folder = tempfile::tempdir().unwrap();
        let ana = user("ana", "correct horse");
        let mut before = sessions(folder.path());
        let (kept, ended) = (before.begin(&ana, NOW_MS), before.begin(&ana, NOW_MS));
        before.end(&ended).unwrap();
        assert!(before.known.find(&kept, NOW_MS + 20 * MINUTE_MS, |_| Some(Arc::clone(&ana))).is_some());
        before.tidy(NOW_MS + 20 * MINUTE_MS).unwrap();
        drop(before);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(kept.len()).any(|window| window == kept.as_bytes()), "{path:?}");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
        }
        let later = NOW_MS + 45 * MINUTE_MS;
        let after = Sessions::open(folder.path(), &DashboardLimits::default(), later);
        assert!(after.known.find(&kept, later, |_| Some(Arc::clone(&ana))).is_some());
        assert!(after.known.find(&ended, later, |_| Some(Arc::clone(&ana))).is_none());
    }

    #[test]
    fn a_user_has_so_many_sessions_and_then_the_oldest_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let ana = user("ana", "correct horse");
        let first = sessions.begin(&ana, NOW_MS);
        let second = sessions.begin(&ana, NOW_MS + 1);
        for _ in 0..SESSIONS_PER_USER_MAX - 1 {
            sessions.begin(&ana, NOW_MS + 2);
        }
        assert!(sessions.known.find(&first, NOW_MS + 2, |_| Some(Arc::clone(&ana))).is_none());
        assert!(sessions.known.find(&second, NOW_MS + 2, |_| Some(Arc::clone(&ana))).is_some());
    }

    #[test]
    fn without_its_file_people_log_in_all_the_same() {
        let ana = user("ana", "correct horse");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("dashboard.db")).unwrap();
        let mut never = sessions(folder.path());
        let folder = tempfile::tempdir().unwrap();
        let mut lost = sessions(folder.path());
        let file = rusqlite::Connection::open(folder.path().join("dashboard.db")).unwrap();
        file.execute_batch("DROP TABLE sessions").unwrap();
        for sessions in [&mut never, &mut lost] {
            let token = sessions.begin(&ana, NOW_MS);
            assert!(sessions.known.find(&token, NOW_MS, |_| Some(Arc::clone(&ana))).is_some());
            let _ = sessions.end(&token);
            assert!(sessions.known.find(&token, NOW_MS, |_| Some(Arc::clone(&ana))).is_none());
        }
    }

    #[test]
    fn a_link_works_once_for_a_while_and_with_the_password_of_its_day() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let ana = user("ana", "correct horse");
        let lasts = Duration::from_secs(600);
        let follow = |sessions: &mut Sessions, token: &str, now_ms, user: &Arc<User>| {
            sessions.follow_link(token, now_ms, |_| Some(Arc::clone(user))).unwrap().is_some()
        };
        let token = sessions.link(&ana, lasts, NOW_MS).unwrap();
        assert!(!follow(&mut sessions, "guessed", NOW_MS, &ana));
        assert!(follow(&mut sessions, &token, NOW_MS + 1, &ana));
        assert!(!follow(&mut sessions, &token, NOW_MS + 1, &ana), "once");
        let late = sessions.link(&ana, lasts, NOW_MS).unwrap();
        assert!(!follow(&mut sessions, &late, NOW_MS + 10 * MINUTE_MS, &ana), "too late");
        let other = user("ana", "battery staple");
        let old = sessions.link(&ana, lasts, NOW_MS).unwrap();
        assert!(!follow(&mut sessions, &old, NOW_MS, &other), "another password");
        let gone = sessions.link(&ana, lasts, NOW_MS).unwrap();
        assert!(sessions.follow_link(&gone, NOW_MS, |_| None::<Arc<User>>).unwrap().is_none());
    }

    #[test]
    fn a_link_of_another_process_works_in_a_server_that_runs_and_in_one_that_starts_later() {
        let folder = tempfile::tempdir().unwrap();
        let ana = user("ana", "correct horse");
        let lasts = Duration::from_secs(600);
        let follow = |sessions: &mut Sessions, token: &Token| {
            sessions.follow_link(token, NOW_MS, |_| Some(Arc::clone(&ana))).unwrap().is_some()
        };
        let (early, late) = (token(), token());
        keep_link(folder.path(), &early, &ana, lasts, NOW_MS).unwrap();
        let mut running = sessions(folder.path());
        assert!(follow(&mut running, &early));
        keep_link(folder.path(), &late, &ana, lasts, NOW_MS).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(late.len()).any(|window| window == late.as_bytes()), "a hash alone");
        }
        assert!(follow(&mut running, &late));
    }

    #[test]
    fn so_many_links_wait_and_then_the_one_that_ends_first_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let ana = user("ana", "correct horse");
        let first = sessions.link(&ana, Duration::from_secs(1), NOW_MS).unwrap();
        let second = sessions.link(&ana, Duration::from_secs(2), NOW_MS).unwrap();
        for _ in 1..crate::limits::LINKS_MAX {
            sessions.link(&ana, Duration::from_secs(3), NOW_MS).unwrap();
        }
        let mut follow = |token: &Token| {
            sessions.follow_link(token, NOW_MS, |_| Some(Arc::clone(&ana))).unwrap().is_some()
        };
        assert!(!follow(&first) && follow(&second));
    }

    #[test]
    fn sessions_of_the_version_before_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let ana = user("ana", "correct horse");
        let token = sessions(folder.path()).begin(&ana, NOW_MS);
        let file = rusqlite::Connection::open(folder.path().join("dashboard.db")).unwrap();
        file.execute_batch("DROP TABLE links; PRAGMA user_version = 1").unwrap();
        drop(file);
        let mut after = sessions(folder.path());
        assert!(after.known.find(&token, NOW_MS, |_| Some(Arc::clone(&ana))).is_some());
        assert!(after.link(&ana, Duration::from_secs(1), NOW_MS).is_ok());
    }
}
