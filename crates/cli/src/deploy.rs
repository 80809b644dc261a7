//! What `vitalwire init --deploy` makes: the secrets of a deployment by containers, each file in the volume of the service that
//! reads it. Begun runs are completed; what is there stays; a secret is shown once, before it is stored.

mod data;
mod emqx;
mod layout;
mod node_red;
mod volumes;

use std::path::Path;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::UserName;
use vitalwire_broker::Authority;
use vitalwire_dashboard::LoginLink;
use vitalwire_registry::Registry;
use volumes::Volumes;
use zeroize::Zeroizing;

use crate::output::Output;
use crate::{login_link, secrets};
pub(crate) use layout::{Ids, Renew};

/// What people call the servers among the containers, and their addresses in deploy/compose.yml.
const SERVER_NAMES: &[&str] = &["vitalwire", "gateway", "172.20.0.10", "localhost", "127.0.0.1", "::1"];
const EMQX_NAMES: &[&str] = &["emqx", "172.20.0.20", "localhost", "127.0.0.1", "::1"];
const NODERED_NAMES: &[&str] = &["nodered", "172.20.0.30", "localhost", "127.0.0.1", "::1"];
const AUTHORITY_NAME: &str = "Vitalwire deployment";
const ADMIN: &str = "admin";
const NODERED_ACCOUNT: &str = "node-red";
/// Where compose.yml publishes the server's dashboard.
const DASHBOARD_PORT: u16 = 8443;
/// Of Node-RED's pages: name and role.
const PEOPLE: [(&str, &str); 2] = [("viewer", "viewer"), ("editor", "editor")];
/// Where the key ends and the certificate begins in a file with both.
const CERTIFICATE_BEGINS: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What is wanted.
pub(crate) struct Order<'a> {
    /// Where the volumes are mounted.
    pub(crate) folder: &'a Path,
    /// By what names and addresses people reach the servers.
    pub(crate) names: &'a [String],
    /// What is made again.
    pub(crate) renew: &'a [Renew],
}

/// Makes what is missing.
///
/// # Errors
/// When something cannot be made, or what is there may be known to others; the next run goes on from there.
pub(crate) fn run(order: &Order<'_>, ids: Ids, out: &mut Output<'_>) -> anyhow::Result<()> {
    let mut volumes = Volumes::open(order.folder, ids)?;
    order.renew.iter().try_for_each(|renew| volumes.remove(*renew))?;
    certificates(&mut volumes, order.names)?;
    volumes.ensure(layout::SERVER_PASSWORD, password_line)?;
    let account = format!("{NODERED_ACCOUNT}\n");
    volumes.ensure(layout::NODERED_USER, || Ok(Zeroizing::new(account.into_bytes())))?;
    volumes.ensure(layout::NODERED_PASSWORD, password_line)?;
    volumes.ensure(layout::NODERED_SECRET, secret_line)?;
    emqx::secrets(&mut volumes)?;
    let registry = data::open(&volumes)?;
    let logins = Logins::missing(&volumes, registry.as_ref())?;
    if !logins.is_empty() {
        out.show_secret(format_args!("{}", logins.shown(order.names).as_str()))?;
        logins.store(&mut volumes, registry.as_ref())?;
    }
    emqx::complete(&mut volumes, logins.admin.as_ref())?;
    // Closed, so that its files are as they will be.
    drop(registry);
    data::hand_over(&mut volumes)?;
    data::rotate_master_key(&mut volumes, order.renew.contains(&Renew::MasterKey), out)?;
    if !volumes.changed {
        writeln!(out, "{} is complete; nothing was changed.", order.folder.display())?;
    } else if logins.is_empty() {
        writeln!(out, "{} is complete again.", order.folder.display())?;
    }
    Ok(())
}

fn certificates(volumes: &mut Volumes, names: &[String]) -> anyhow::Result<()> {
    let authority =
        volumes.ensure(layout::AUTHORITY, || Ok(Authority::generate(AUTHORITY_NAME)?.to_pem()?))?;
    let authority = Authority::from_pem(&authority).with_context(|| {
        format!("{} holds no authority; make it again by --renew certificates", layout::AUTHORITY)
    })?;
    let ca = authority.certificate_pem()?;
    for (pair, own_names, [ca_file, certificate_file, key_file]) in [
        (
            layout::SERVER_PAIR,
            SERVER_NAMES,
            [layout::SERVER_CA, layout::SERVER_CERTIFICATE, layout::SERVER_KEY],
        ),
        (layout::EMQX_PAIR, EMQX_NAMES, [layout::EMQX_CA, layout::EMQX_CERTIFICATE, layout::EMQX_KEY]),
        (
            layout::NODERED_PAIR,
            NODERED_NAMES,
            [layout::NODERED_CA, layout::NODERED_CERTIFICATE, layout::NODERED_KEY],
        ),
    ] {
        let mut all = names.to_vec();
        all.extend(own_names.iter().map(|name| (*name).to_owned()).filter(|name| !names.contains(name)));
        let both = volumes.ensure(pair, || Ok(authority.issue(&all)?))?;
        let begins = both.windows(CERTIFICATE_BEGINS.len()).position(|window| window == CERTIFICATE_BEGINS);
        let (key, certificate) = begins.and_then(|at| both.split_at_checked(at)).with_context(|| {
            format!("{pair} holds no key with its certificate; make it again by --renew certificates")
        })?;
        volumes.follow(ca_file, &ca)?;
        volumes.follow(certificate_file, certificate)?;
        volumes.follow(key_file, key)?;
    }
    Ok(())
}

/// A password for a program, as a file holds it.
fn password_line() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let password = secrets::generate_password();
    Ok(Zeroizing::new(format!("{}\n", password.expose_secret()).into_bytes()))
}

/// 256 bits in hexadecimal digits.
fn secret_line() -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let secret = Zeroizing::new(rand::random::<[u8; 32]>());
    let mut line = Zeroizing::new(Vec::with_capacity(2 * secret.len() + 1));
    for byte in *secret {
        line.extend(format!("{byte:02x}").into_bytes());
    }
    line.push(b'\n');
    Ok(line)
}

/// Passwords of people that are to be made: shown first, then stored as hashes.
struct Logins {
    admin: Option<SecretString>,
    pages: Option<[SecretString; PEOPLE.len()]>,
    /// Of EMQX.
    dashboard: Option<SecretString>,
    /// Logs the administrator in to the server's dashboard, once.
    link: Option<LoginLink>,
}

impl Logins {
    /// Of those who cannot log in yet.
    fn missing(volumes: &Volumes, registry: Option<&Registry>) -> anyhow::Result<Self> {
        let admin: UserName = ADMIN.parse()?;
        let has_admin = registry.map_or(Ok(true), |registry| data::has_user(registry, &admin))?;
        let has_pages = volumes.read(layout::NODERED_USERS)?.is_some();
        let has_dashboard = volumes.read(layout::DASHBOARD_PASSWORD)?.is_some();
        // Where one of the two that know its password is new, both get another.
        let has_admin = has_admin && emqx::has_accounts(volumes)?;
        Ok(Self {
            // Only with a password that no one has seen yet, and while the registry is here.
            link: registry.filter(|_| !has_admin).map(|_| LoginLink::generate()),
            admin: (!has_admin).then(secrets::generate_password),
            pages: (!has_pages).then(|| PEOPLE.map(|_| secrets::generate_password())),
            dashboard: (!has_dashboard).then(secrets::generate_password),
        })
    }

    fn is_empty(&self) -> bool {
        self.admin.is_none() && self.pages.is_none() && self.dashboard.is_none()
    }

    /// What a person needs.
    fn shown(&self, names: &[String]) -> Zeroizing<String> {
        let host = names.first().map_or("localhost", String::as_str);
        let mut text = Zeroizing::new("These passwords are not shown again:\n".to_owned());
        let mut line = |what: &str, name: &str, password: &SecretString| {
            text.push_str(&format!("  {what:48} {name:8} {}\n", password.expose_secret()));
        };
        if let Some(password) = &self.admin {
            line(&format!("MQTT, mqtts://{host}:8883"), ADMIN, password);
        }
        for ((name, _), password) in PEOPLE.iter().zip(self.pages.iter().flatten()) {
            line(&format!("Node-RED, https://{host}:1880/dashboard"), name, password);
        }
        if let Some(password) = &self.dashboard {
            line(&format!("EMQX's dashboard, https://{host}:18083"), ADMIN, password);
        }
        let page = format!("https://{host}:{DASHBOARD_PORT}");
        if let Some(link) = &self.link {
            let time = humantime::format_duration(login_link::LASTS);
            let at = link.at(&page);
            text.push_str(&format!("\nThe dashboard, {page}, takes {ADMIN}'s password of MQTT. This link logs {ADMIN} in there, once\n"));
            text.push_str(&format!(
                "and within {time}; with another VITALWIRE_HTTPS_PORT, write that into it:\n  {}\n",
                at.as_str()
            ));
        }
        text.push_str(NEXT);
        text
    }

    fn store(&self, volumes: &mut Volumes, registry: Option<&Registry>) -> anyhow::Result<()> {
        if let Some(passwords) = &self.pages {
            let mut lines = Zeroizing::new(Vec::new());
            for ((name, role), password) in PEOPLE.iter().zip(passwords) {
                lines.extend_from_slice(&node_red::line(name, role, password)?);
            }
            volumes.write(layout::NODERED_USERS, &lines)?;
        }
        if let Some(password) = &self.dashboard {
            let line = Zeroizing::new(format!("{}\n", password.expose_secret()).into_bytes());
            volumes.write(layout::DASHBOARD_PASSWORD, &line)?;
        }
        if let (Some(password), Some(registry)) = (&self.admin, registry) {
            data::set_admin(registry, &ADMIN.parse()?, password)?;
        }
        if let (Some(link), Some(registry)) = (&self.link, registry) {
            login_link::keep(link, registry, &data::folder(volumes), &ADMIN.parse()?, login_link::LASTS)?;
        }
        Ok(())
    }
}

const NEXT: &str = "
Node-RED and EMQX are in the profile emqx. There the server's container is
`gateway`, else `vitalwire`. Enrol a device:
  docker compose exec vitalwire /bin/vitalwire device add bed_07
Clients and browsers need the certificate that vouches for all servers:
  docker cp \"$(docker compose ps -q vitalwire)\":/secrets/ca.pem .
";

#[cfg(test)]
mod tests;
