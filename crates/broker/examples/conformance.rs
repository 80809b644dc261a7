//! A broker for conformance suites (`CONFORMANCE.md`): one user `admin` with the password `conformance`, plain MQTT on this
//! machine alone. Prints its port, and serves until it is killed; what it stored is forgotten then.
//!
//!     cargo run -p vitalwire-broker --example conformance [PORT]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::watch;
use vitalwire_access::Role;
use vitalwire_broker::{Broker, BrokerConfig, BrokerLimits};
use vitalwire_registry::{Directory, LoginLimits, Logins, User};

const USER: &str = "admin";
const PASSWORD: &str = "conformance";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse().map_err(|_| format!("'{port}' is no port: give a number below 65536"))?,
        None => 0,
    };
    let folder = tempfile::tempdir()?;
    // A server gets its users from the registry, as they change.
    let (_changes, directory) = watch::channel(Arc::new(one_admin()?));
    let logins = Arc::new(Logins::new(directory, LoginLimits::default()));
    let plain = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // Suites open many sessions and subscriptions as one user.
    let limits = BrokerLimits {
        subscriptions_per_client_max: 10_000,
        sessions_per_user_max: 10_000,
        ..BrokerLimits::default()
    };
    let broker =
        Broker::start(BrokerConfig { plain, limits, ..BrokerConfig::new(folder.path()) }, logins).await?;
    let port = broker.addresses().plain.ok_or("it listens nowhere")?.port();
    println!("{port}");
    tokio::signal::ctrl_c().await?;
    broker.stop().await;
    Ok(())
}

fn one_admin() -> Result<Directory, Box<dyn Error>> {
    let password_hash = cheap_hash(PASSWORD).map_err(|error| error.to_string())?.parse()?;
    let admin = User { name: USER.parse()?, role: Role::Admin, password_hash };
    let users = Arc::new([(admin.name.clone(), Arc::new(admin))].into());
    Ok(Directory { users, ..Directory::default() })
}

/// As cheap as can be: suites connect often, and wait for a third of a second at most.
fn cheap_hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None)?);
    let salt = SaltString::encode_b64(b"some salt")?;
    Ok(argon.hash_password(password.as_bytes(), &salt)?.to_string())
}
