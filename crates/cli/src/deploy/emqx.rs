//! EMQX's files of a deployment. Who may log in stands in the file of accounts, which `vitalwire emqx` changes, too; the rest
//! follows from it and from secrets of their own.

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::{Role as PersonRole, Scope, UserName};
use vitalwire_emqx::{Accounts, ApiKey, Role, Settings, User, Verifier, acl, api_keys, bootstrap, config};
use zeroize::Zeroizing;

use super::volumes::Volumes;
use super::{ADMIN, NODERED_ACCOUNT, layout, secret_line};

/// As deploy/compose.yml calls it.
const NODE: &str = "emqx@172.20.0.20";
/// Where deploy/compose.yml mounts the volume `emqx`.
const FOLDER: &str = "/vitalwire";
const API_KEY_NAME: &str = "vitalwire";
/// As whom the server logs in.
const GATEWAY: &str = "gateway";

/// Makes the secrets that programs alone know.
pub(super) fn secrets(volumes: &mut Volumes) -> anyhow::Result<()> {
    volumes.ensure(layout::COOKIE, secret_line)?;
    let keys = volumes.ensure(layout::API_KEY, || {
        let secret = one_line(&secret_line()?)?;
        let keys = api_keys(&ApiKey::new(API_KEY_NAME, secret)?);
        Ok(Zeroizing::new(keys.expose_secret().as_bytes().to_vec()))
    })?;
    volumes.follow(layout::SERVER_API_KEY, &keys)?;
    volumes.follow(layout::EMQX_API_KEYS, &keys)
}

/// Whether the accounts were made before.
pub(super) fn has_accounts(volumes: &Volumes) -> anyhow::Result<bool> {
    Ok(volumes.read(layout::ACCOUNTS)?.is_some())
}

/// Makes the rest: accounts of the programs by the passwords that they have, that of the administrator by this one, and what
/// follows from them.
pub(super) fn complete(volumes: &mut Volumes, admin: Option<&SecretString>) -> anyhow::Result<()> {
    let mut accounts = match volumes.read(layout::ACCOUNTS)? {
        Some(bytes) => Accounts::parse(text(&bytes)?).context(layout::ACCOUNTS)?,
        None => Accounts::default(),
    };
    let reader = Role::Person(PersonRole::Reader { devices: Scope::All });
    for (name, role, path) in [
        (GATEWAY, Role::Gateway, layout::SERVER_PASSWORD),
        (NODERED_ACCOUNT, reader, layout::NODERED_PASSWORD),
    ] {
        let password = one_line(&volumes.read(path)?.with_context(|| format!("{path} is missing"))?)?;
        set(&mut accounts, name, role, &password)?;
    }
    if let Some(password) = admin {
        set(&mut accounts, ADMIN, Role::Person(PersonRole::Admin), password)?;
    }
    let users = accounts.users();
    volumes.follow(layout::ACCOUNTS, accounts.text().as_bytes())?;
    volumes.follow(layout::EMQX_USERS, bootstrap(&users)?.as_bytes())?;
    volumes.follow(layout::EMQX_ACL, acl(&users).as_bytes())?;
    let secret = |path| one_line(&volumes.read(path)?.with_context(|| format!("{path} is missing"))?);
    let (cookie, dashboard) = (secret(layout::COOKIE)?, secret(layout::DASHBOARD_PASSWORD)?);
    let conf = config(&Settings::new(NODE, FOLDER, cookie, dashboard))?;
    volumes.follow(layout::EMQX_CONFIG, conf.expose_secret().as_bytes())
}

/// Gives an account this password, and makes it where there is none.
fn set(accounts: &mut Accounts, name: &str, role: Role, password: &SecretString) -> anyhow::Result<()> {
    let name: UserName = name.parse()?;
    let found = accounts.iter().find(|account| account.user.name == name);
    match found.map(|account| account.user.verifier.is_of(password)) {
        Some(true) => {}
        Some(false) => accounts.set_password(&name, Verifier::new(password, rand::random()))?,
        None => {
            let verifier = Verifier::new(password, rand::random());
            accounts.add(User { name: name.clone(), role, verifier })?;
            // EMQX gets it from us at its first start.
            accounts.claim(&name);
        }
    }
    Ok(())
}

/// The secret of a file with one line.
fn one_line(bytes: &[u8]) -> anyhow::Result<SecretString> {
    Ok(SecretString::from(text(bytes)?.trim_end()))
}

fn text(bytes: &[u8]) -> anyhow::Result<&str> {
    std::str::from_utf8(bytes).context("a file of the deployment is no text")
}
