//! The requests of EMQX's REST API that are made, and what its answers mean.

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use vitalwire_access::UserName;

use super::{Change, Method, Request, SyncError};
use crate::user::User;

const AUTHENTICATOR: &str = "/api/v5/authentication/password_based%3Abuilt_in_database";
const RIGHTS: &str = "/api/v5/authorization/sources/file";
const CLIENTS: &str = "/api/v5/clients";
/// Users or clients of one answer; EMQX allows 10,000.
const PAGE_LEN: usize = 1_000;
/// Answers of one list; beyond that EMQX has lost count.
const PAGES_MAX: usize = 1_000;
/// What is shown of an answer that is no error of EMQX's.
const SHOWN_MAX: usize = 200;

fn request(method: Method, path: impl Into<String>, body: Option<serde_json::Value>) -> Request {
    let body = body.map(|body| SecretString::from(body.to_string()));
    Request { method, path: path.into(), body }
}

pub(super) fn list_users(page: usize) -> Request {
    request(Method::Get, format!("{AUTHENTICATOR}/users?page={page}&limit={PAGE_LEN}"), None)
}

pub(super) fn put_user(user: &User) -> Request {
    let user = serde_json::json!({
        "user_id": user.name.as_str(),
        "password_hash": user.verifier.hash,
        "salt": user.verifier.salt,
        "is_superuser": false,
    });
    request(Method::Post, format!("{AUTHENTICATOR}/import_users?type=hash"), Some(serde_json::json!([user])))
}

pub(super) fn remove_user(name: &UserName) -> Request {
    // The alphabet of names needs no encoding in a path.
    request(Method::Delete, format!("{AUTHENTICATOR}/users/{name}"), None)
}

pub(super) fn read_rights() -> Request {
    request(Method::Get, RIGHTS, None)
}

pub(super) fn write_rights(rules: &str) -> Request {
    let source = serde_json::json!({ "type": "file", "enable": true, "rules": rules });
    request(Method::Put, RIGHTS, Some(source))
}

pub(super) fn list_clients(user: &UserName, page: usize) -> Request {
    request(Method::Get, format!("{CLIENTS}?username={user}&page={page}&limit={PAGE_LEN}"), None)
}

pub(super) fn close_clients(clients: &[String]) -> Request {
    request(Method::Post, format!("{CLIENTS}/kickout/bulk"), Some(serde_json::json!(clients)))
}

/// What EMQX answered to a request.
pub(super) struct Answer<'a> {
    pub(super) request: &'a Request,
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    hasnext: bool,
}

#[derive(Deserialize)]
struct ListedUser {
    user_id: String,
}

#[derive(Deserialize)]
struct ListedClient {
    clientid: String,
}

#[derive(Deserialize)]
struct Source {
    rules: String,
}

#[derive(Deserialize)]
struct Imported {
    #[serde(default)]
    success: u64,
    #[serde(rename = "override", default)]
    overridden: u64,
    #[serde(default)]
    skipped: u64,
}

/// An error of EMQX's.
#[derive(Deserialize)]
struct Problem {
    code: String,
    message: String,
}

impl Answer<'_> {
    /// The users of a page, and whether there is another.
    pub(super) fn users(&self, page: usize) -> Result<(Vec<String>, bool), SyncError> {
        let listed: Page<ListedUser> = self.must_have("built-in database of users")?;
        let has_next = self.has_next(&listed.meta, page)?;
        Ok((listed.data.into_iter().map(|user| user.user_id).collect(), has_next))
    }

    /// The clients of a page, and whether there is another.
    pub(super) fn clients(&self, page: usize) -> Result<(Vec<String>, bool), SyncError> {
        let listed: Page<ListedClient> = self.must_have("list of clients")?;
        let has_next = self.has_next(&listed.meta, page)?;
        Ok((listed.data.into_iter().map(|client| client.clientid).collect(), has_next))
    }

    /// The rules of the file.
    pub(super) fn rights(&self) -> Result<String, SyncError> {
        Ok(self.must_have::<Source>("authorization by a file")?.rules)
    }

    /// What became of the one user that was imported.
    pub(super) fn imported(&self) -> Result<Change, SyncError> {
        match self.must_have("built-in database of users")? {
            Imported { success: 1, .. } => Ok(Change::Added),
            Imported { overridden: 1, .. } => Ok(Change::Changed),
            Imported { skipped: 1, .. } => Ok(Change::Unchanged),
            _ => Err(self.refused()),
        }
    }

    /// Whether a user was there to be removed.
    pub(super) fn removed(&self) -> Result<bool, SyncError> {
        match self.status {
            404 if self.problem().is_some() => Ok(false),
            _ => self.done().map(|()| true),
        }
    }

    /// An answer that says nothing more.
    pub(super) fn done(&self) -> Result<(), SyncError> {
        self.check()
    }

    fn has_next(&self, meta: &Meta, page: usize) -> Result<bool, SyncError> {
        if meta.hasnext && page >= PAGES_MAX {
            return Err(self.refused());
        }
        Ok(meta.hasnext)
    }

    fn must_have<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, SyncError> {
        if self.status == 404 {
            return Err(SyncError::Missing(what));
        }
        self.check()?;
        serde_json::from_slice(self.body).map_err(|_| self.refused())
    }

    fn check(&self) -> Result<(), SyncError> {
        match self.status {
            200..=299 => Ok(()),
            401 => Err(SyncError::Key),
            403 => Err(SyncError::Role),
            _ => Err(self.refused()),
        }
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(self.body).ok()
    }

    fn refused(&self) -> SyncError {
        let reason = match self.problem() {
            Some(Problem { code, message }) => format!("{code}, {message}"),
            None => String::from_utf8_lossy(self.body).into_owned(),
        };
        let is_shown = |character: &char| !character.is_control();
        let reason: String = reason.chars().filter(is_shown).take(SHOWN_MAX).collect();
        SyncError::Refused { status: self.status, path: self.request.path.clone(), reason }
    }
}
