//! The file of accounts: which users EMQX shall have, who was removed, and which users are known to be ours. It is the source of EMQX's
//! files and of [`Sync`](crate::Sync). Salted hashes are in it, so it is its owner's alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vitalwire_access::{DeviceId, Role as PersonRole, Scope, UserName};

use crate::user::{Role, User, Verifier};

/// Accounts of one EMQX.
const ACCOUNTS_MAX: usize = 10_000;
const HEAD: &str = "\
# Vitalwire's users of EMQX. `vitalwire emqx add`, `password` and `remove` change it, `vitalwire emqx sync` carries it out.

";

/// A user whom EMQX shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Whether a user of this name in EMQX is ours. Before it is, one that is found there was made by someone else.
    pub is_ours: bool,
}

/// All accounts of one EMQX, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    accounts: Vec<Account>,
    removed: BTreeSet<UserName>,
}

/// Why accounts cannot be read or changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountsError {
    /// The text is no such file.
    #[error("this is no file of accounts: {0}")]
    Form(String),
    /// Two accounts of one name.
    #[error(
        "there is a user {0} already: give it a new password with `vitalwire emqx password`, or remove it first"
    )]
    Exists(UserName),
    /// No account of this name.
    #[error("there is no user {0}")]
    Unknown(UserName),
    /// A user that is wanted and removed.
    #[error("{0} is both a user and removed: take the name out of `removed`")]
    Both(UserName),
    /// More than there can be.
    #[error("there are {ACCOUNTS_MAX} users, which is the limit")]
    TooMany,
}

impl Accounts {
    /// Of these users, of whom EMQX makes its first: they are ours.
    ///
    /// # Errors
    /// When two have one name.
    pub fn of(users: impl IntoIterator<Item = User>) -> Result<Self, AccountsError> {
        let mut accounts = Self::default();
        for user in users {
            accounts.add(user)?;
        }
        accounts.accounts.iter_mut().for_each(|account| account.is_ours = true);
        Ok(accounts)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it is none, with the line and what is wrong.
    pub fn parse(text: &str) -> Result<Self, AccountsError> {
        let file: File = toml::from_str(text).map_err(|error| AccountsError::Form(error.to_string()))?;
        let mut accounts = Self::default();
        for row in file.user {
            let is_ours = row.ours;
            accounts.add(row.user()?)?;
            if let Some(account) = accounts.accounts.last_mut() {
                account.is_ours = is_ours;
            }
        }
        for name in file.removed {
            let name: UserName = form(name.parse())?;
            if accounts.find(&name).is_some() {
                return Err(AccountsError::Both(name));
            }
            accounts.removed.insert(name);
        }
        Ok(accounts)
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let file = File {
            removed: self.removed.iter().map(ToString::to_string).collect(),
            user: self.accounts.iter().map(Row::of).collect(),
        };
        HEAD.to_owned() + &toml::to_string(&file).expect("names, digits and lists are TOML")
    }

    /// The users whom EMQX shall have.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        self.accounts.iter().map(|account| account.user.clone()).collect()
    }

    /// The same, with what is known of each.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter()
    }

    /// Users of ours that EMQX shall have no longer.
    #[must_use]
    pub fn removed(&self) -> &BTreeSet<UserName> {
        &self.removed
    }

    /// Adds a user.
    ///
    /// # Errors
    /// When there is one of that name, or there are too many.
    pub fn add(&mut self, user: User) -> Result<(), AccountsError> {
        self.check_new(&user.name)?;
        if self.accounts.len() >= ACCOUNTS_MAX {
            return Err(AccountsError::TooMany);
        }
        // It was ours, and EMQX may have it still.
        let is_ours = self.removed.remove(&user.name);
        self.accounts.push(Account { user, is_ours });
        Ok(())
    }

    /// Whether there can be a user of this name, before a password is asked for.
    ///
    /// # Errors
    /// When there is one already.
    pub fn check_new(&self, name: &UserName) -> Result<(), AccountsError> {
        self.find(name).map_or(Ok(()), |_| Err(AccountsError::Exists(name.clone())))
    }

    /// Whether there is a user of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn check_known(&self, name: &UserName) -> Result<(), AccountsError> {
        self.find(name).map(|_| ()).ok_or_else(|| AccountsError::Unknown(name.clone()))
    }

    /// Gives a user another password.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn set_password(&mut self, name: &UserName, verifier: Verifier) -> Result<(), AccountsError> {
        let account = self.find_mut(name).ok_or_else(|| AccountsError::Unknown(name.clone()))?;
        account.user.verifier = verifier;
        Ok(())
    }

    /// Removes a user. Only one that was ours is removed from EMQX, too.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove(&mut self, name: &UserName) -> Result<(), AccountsError> {
        let at = self.accounts.iter().position(|account| account.user.name == *name);
        let account = self.accounts.remove(at.ok_or_else(|| AccountsError::Unknown(name.clone()))?);
        if account.is_ours {
            self.removed.insert(name.clone());
        }
        Ok(())
    }

    /// Notes that a user of this name in EMQX is ours from now on.
    pub fn claim(&mut self, name: &UserName) {
        if let Some(account) = self.find_mut(name) {
            account.is_ours = true;
        }
    }

    /// Notes that EMQX has a removed user no longer.
    pub fn forget(&mut self, name: &UserName) {
        self.removed.remove(name);
    }

    fn find(&self, name: &UserName) -> Option<&Account> {
        self.accounts.iter().find(|account| account.user.name == *name)
    }

    fn find_mut(&mut self, name: &UserName) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.user.name == *name)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    #[serde(default)]
    user: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    role: RoleName,
    /// The devices of who reads some; absent when it reads all.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<String>>,
    #[serde(default)]
    ours: bool,
    salt: String,
    hash: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    Gateway,
    Admin,
    Clinician,
    Reader,
}

impl Row {
    fn of(account: &Account) -> Self {
        let user = &account.user;
        let (role, scope) = match &user.role {
            Role::Gateway => (RoleName::Gateway, &Scope::All),
            Role::Person(PersonRole::Admin) => (RoleName::Admin, &Scope::All),
            Role::Person(PersonRole::Clinician { devices }) => (RoleName::Clinician, devices),
            Role::Person(PersonRole::Reader { devices }) => (RoleName::Reader, devices),
        };
        let devices = scope.named().map(|devices| devices.iter().map(ToString::to_string).collect());
        let Verifier { salt, hash } = user.verifier.clone();
        Self { name: user.name.to_string(), role, devices, ours: account.is_ours, salt, hash }
    }

    fn user(self) -> Result<User, AccountsError> {
        let wrong = |what: &str| AccountsError::Form(format!("user {}: {what}", self.name));
        let devices = match &self.devices {
            None => Scope::All,
            Some(devices) => {
                let devices: Result<BTreeSet<DeviceId>, _> = devices.iter().map(|id| id.parse()).collect();
                Scope::Named(form(devices)?)
            }
        };
        let role = match (self.role, devices) {
            (RoleName::Gateway, Scope::All) => Role::Gateway,
            (RoleName::Admin, Scope::All) => Role::Person(PersonRole::Admin),
            (RoleName::Clinician, devices) => Role::Person(PersonRole::Clinician { devices }),
            (RoleName::Reader, devices) => Role::Person(PersonRole::Reader { devices }),
            _ => return Err(wrong("only a reader and a clinician have devices")),
        };
        let verifier = Verifier::from_digits(&self.salt, &self.hash)
            .ok_or_else(|| wrong("salt and hash must be 32 and 64 hexadecimal digits"))?;
        Ok(User { name: form(self.name.parse())?, role, verifier })
    }
}

fn form<T, E: ToString>(read: Result<T, E>) -> Result<T, AccountsError> {
    read.map_err(|error| AccountsError::Form(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        let verifier = Verifier::from_digits(&"1".repeat(32), &"2".repeat(64)).unwrap();
        User { name: name.parse().unwrap(), role, verifier }
    }

    fn reader(name: &str, devices: &[&str]) -> User {
        let devices = Scope::Named(devices.iter().map(|id| id.parse().unwrap()).collect());
        user(name, Role::Person(PersonRole::Reader { devices }))
    }

    fn some() -> Accounts {
        let all = Role::Person(PersonRole::Reader { devices: Scope::All });
        let admin = Role::Person(PersonRole::Admin);
        let users = [
            user("g", Role::Gateway),
            user("a", admin),
            user("n", all),
            reader("f", &["d"]),
            reader("e", &[]),
        ];
        Accounts::of(users).unwrap()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut accounts = some();
        accounts.remove(&"n".parse().unwrap()).unwrap();
        accounts.add(reader("new", &["d", "e"])).unwrap();
        let devices = Scope::Named(["d".parse().unwrap()].into());
        accounts.add(user("c", Role::Person(PersonRole::Clinician { devices }))).unwrap();
        let read = Accounts::parse(&accounts.text()).unwrap();
        assert_eq!(read, accounts);
        assert_eq!(Accounts::parse("").unwrap(), Accounts::default());
    }

    #[test]
    fn only_users_of_ours_are_remembered_when_they_go() {
        let mut accounts = some();
        let (new, nurse) = ("new".parse().unwrap(), "n".parse().unwrap());
        accounts.add(reader("new", &[])).unwrap();
        accounts.remove(&new).unwrap();
        accounts.remove(&nurse).unwrap();
        assert_eq!(accounts.removed(), &BTreeSet::from([nurse.clone()]));
        assert_eq!(accounts.remove(&nurse), Err(AccountsError::Unknown(nurse.clone())));
        accounts.add(user("n", Role::Gateway)).unwrap();
        assert!(accounts.removed().is_empty() && accounts.find(&nurse).unwrap().is_ours);
        assert_eq!(accounts.add(reader("n", &[])), Err(AccountsError::Exists(nurse)));
    }

    #[test]
    fn files_that_are_wrong_are_refused_and_say_why() {
        let row = |more: &str| {
            format!(
                "[[user]]\nname = \"n\"\nsalt = \"{}\"\nhash = \"{}\"\n{more}\n",
                "1".repeat(32),
                "2".repeat(64)
            )
        };
        let reader = row("role = \"reader\"");
        assert!(Accounts::parse(&reader).is_ok());
        for (text, reason) in [
            ("not TOML".to_owned(), "TOML"),
            (row(""), "role"),
            (row("role = \"nurse\""), "nurse"),
            (row("role = \"reader\"\nmore = 1"), "more"),
            (row("role = \"admin\"\ndevices = []"), "only a reader"),
            (row("role = \"reader\"\ndevices = [\"a/b\"]"), "'/'"),
            (reader.replace("\"n\"", "\"n n\""), "' '"),
            (reader.replace('1', "x"), "hexadecimal"),
            (reader.clone() + &reader, "already"),
            ("removed = [\"n\"]\n".to_owned() + &reader, "both"),
            ("removed = [\"#\"]\n".to_owned(), "'#'"),
        ] {
            let error = Accounts::parse(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
