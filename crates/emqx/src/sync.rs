//! Brings the users and rights of a running EMQX up to date by its REST API (`/api/v5`): says what to ask next, and is told what was
//! answered. Modules of EMQX 5.8.9 that answer: `emqx_authn_api`, `emqx_authn_user_import_api`, `emqx_authz_api_sources`,
//! `emqx_mgmt_api_clients`.
//!
//! Users are imported with their hashes, so no password travels. An import of a user that is there with the same hash changes
//! nothing, and EMQX says so: no state beside the [`Accounts`] is needed, and every request may be made twice. A user of EMQX that is
//! not of ours is never touched.

mod api;
mod error;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use secrecy::SecretString;
use vitalwire_access::UserName;

use crate::accounts::Accounts;
use crate::acl::{acl, changed};
use crate::user::User;
pub use error::SyncError;

/// Connections that are closed with one request.
const KICKS_MAX: usize = 1_000;

/// How something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "RFC 9110 §9.3")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// A request to EMQX's REST API.
#[derive(Debug, Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Path and query, ready to be sent.
    pub path: String,
    /// JSON; holds salted hashes.
    pub body: Option<SecretString>,
}

/// What became of one thing, or with a dry run, what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The user; `None` for the rights of all.
    pub user: Option<UserName>,
    /// What was done.
    pub change: Change,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// EMQX had no such user.
    Added,
    /// Another password, or other rights.
    Changed,
    /// It was as it shall be.
    Unchanged,
    /// EMQX has the user no longer.
    Removed,
    /// This many connections were closed, for what they may do has changed.
    Closed(usize),
    /// A dry run: EMQX has no such user.
    ToAdd,
    /// A dry run: EMQX does not tell a password, so only a real run shows whether it changes.
    ToCompare,
    /// A dry run: the rights differ.
    ToChange,
    /// A dry run: EMQX has the user.
    ToRemove,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("added"),
            Self::Changed => f.write_str("changed"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Removed => f.write_str("removed"),
            Self::Closed(1) => f.write_str("1 connection closed"),
            Self::Closed(count) => write!(f, "{count} connections closed"),
            Self::ToAdd => f.write_str("would be added"),
            Self::ToCompare => f.write_str("there; would be changed if its password differs"),
            Self::ToChange => f.write_str("would be changed"),
            Self::ToRemove => f.write_str("would be removed"),
        }
    }
}

/// What is to be done next.
#[derive(Debug)]
enum Task {
    ListUsers { page: usize },
    ReadRights,
    WriteRights(String),
    Remove(UserName),
    Put(User),
    ListClients { user: UserName, page: usize, found: Vec<String> },
    Close { user: UserName, clients: Vec<String> },
}

/// One synchronisation.
#[derive(Debug)]
pub struct Sync {
    accounts: Accounts,
    is_dry: bool,
    may_take_over: bool,
    tasks: VecDeque<Task>,
    present: BTreeSet<String>,
    outcomes: Vec<Outcome>,
}

impl Sync {
    /// Of EMQX with these accounts. A dry run only looks. A user of EMQX that has the name of an account and is not known to be ours
    /// ends it before anything was changed, unless names may be taken over.
    #[must_use]
    pub fn new(accounts: Accounts, is_dry: bool, may_take_over: bool) -> Self {
        let tasks = VecDeque::from([Task::ListUsers { page: 1 }, Task::ReadRights]);
        Self { accounts, is_dry, may_take_over, tasks, present: BTreeSet::new(), outcomes: Vec::new() }
    }

    /// The accounts with what was learned of them. To be kept before the next request is made.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What was done so far, in order.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// What to ask next; `None` when all is done. The same until [`Self::answer`] is told the answer.
    #[must_use]
    pub fn request(&self) -> Option<Request> {
        Some(match self.tasks.front()? {
            Task::ListUsers { page } => api::list_users(*page),
            Task::ReadRights => api::read_rights(),
            Task::WriteRights(rules) => api::write_rights(rules),
            Task::Remove(name) => api::remove_user(name),
            Task::Put(user) => api::put_user(user),
            Task::ListClients { user, page, .. } => api::list_clients(user, *page),
            Task::Close { clients, .. } => api::close_clients(clients),
        })
    }

    /// Takes the answer to [`Self::request`].
    ///
    /// # Errors
    /// When EMQX refuses, or answers what its API does not say.
    pub fn answer(&mut self, status: u16, body: &[u8]) -> Result<(), SyncError> {
        let Some(request) = self.request() else { return Ok(()) };
        let answer = api::Answer { request: &request, status, body };
        let Some(task) = self.tasks.pop_front() else { return Ok(()) };
        match task {
            Task::ListUsers { page } => {
                let (users, has_next) = answer.users(page)?;
                self.present.extend(users);
                if has_next {
                    self.tasks.push_front(Task::ListUsers { page: page + 1 });
                }
            }
            Task::ReadRights => self.plan(&answer.rights()?)?,
            Task::WriteRights(_) => {
                answer.done()?;
                self.note(None, Change::Changed);
            }
            Task::Remove(name) => {
                if answer.removed()? {
                    self.note(Some(&name), Change::Removed);
                }
                self.accounts.forget(&name);
            }
            Task::Put(user) => {
                let change = answer.imported()?;
                if change == Change::Changed {
                    self.close_later(&user.name);
                }
                self.note(Some(&user.name), change);
            }
            Task::ListClients { user, page, mut found } => {
                let (clients, has_next) = answer.clients(page)?;
                found.extend(clients);
                if has_next {
                    self.tasks.push_front(Task::ListClients { user, page: page + 1, found });
                } else {
                    let closes = found.chunks(KICKS_MAX).map(<[String]>::to_vec);
                    let closes: Vec<_> =
                        closes.map(|clients| Task::Close { user: user.clone(), clients }).collect();
                    closes.into_iter().for_each(|close| self.tasks.push_front(close));
                }
            }
            Task::Close { user, clients } => {
                answer.done()?;
                self.note(Some(&user), Change::Closed(clients.len()));
            }
        }
        Ok(())
    }

    /// All that is to be done, now that EMQX's users and rights are known. Rights first: no new user has too many, and none that lost
    /// some keeps them longer than need be.
    fn plan(&mut self, rights: &str) -> Result<(), SyncError> {
        let wanted = acl(&self.accounts.users());
        let is_there = |name: &UserName| self.present.contains(name.as_str());
        let strangers =
            self.accounts.iter().filter(|account| !account.is_ours && is_there(&account.user.name));
        let strangers: Vec<_> = strangers.map(|account| account.user.name.clone()).collect();
        if !strangers.is_empty() && !self.may_take_over {
            return Err(SyncError::Strangers(strangers));
        }
        let leaving: Vec<_> = self.accounts.removed().iter().filter(|name| is_there(name)).cloned().collect();
        if self.is_dry {
            self.tell(rights != wanted, &leaving);
            return Ok(());
        }
        let mut concerned = changed(rights, &wanted);
        concerned.retain(is_there);
        if rights == wanted {
            self.note(None, Change::Unchanged);
        }
        self.tasks.extend((rights != wanted).then_some(Task::WriteRights(wanted)));
        self.tasks.extend(self.accounts.removed().iter().cloned().map(Task::Remove));
        for user in self.accounts.users() {
            self.accounts.claim(&user.name);
            self.tasks.push_back(Task::Put(user));
        }
        concerned.iter().chain(&leaving).for_each(|name| self.close_later(name));
        Ok(())
    }

    fn tell(&mut self, rights_differ: bool, leaving: &[UserName]) {
        self.note(None, if rights_differ { Change::ToChange } else { Change::Unchanged });
        leaving.iter().for_each(|name| self.note(Some(name), Change::ToRemove));
        for user in self.accounts.users() {
            let is_there = self.present.contains(user.name.as_str());
            self.note(Some(&user.name), if is_there { Change::ToCompare } else { Change::ToAdd });
        }
    }

    /// At the end: a client that is closed comes back at once, and must meet the new password and rights.
    fn close_later(&mut self, name: &UserName) {
        let is_planned = |task: &Task| matches!(task, Task::ListClients { user, .. } if user == name);
        if !self.tasks.iter().any(is_planned) {
            self.tasks.push_back(Task::ListClients { user: name.clone(), page: 1, found: Vec::new() });
        }
    }

    fn note(&mut self, user: Option<&UserName>, change: Change) {
        self.outcomes.push(Outcome { user: user.cloned(), change });
    }
}

#[cfg(test)]
mod tests;
