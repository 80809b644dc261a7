//! What the broker's tests share: a directory of users, and a broker on free ports.

#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::watch;
use vitalwire_access::{DeviceId, PasswordHash, Role, Scope};
use vitalwire_broker::{Broker, BrokerConfig, BrokerLimits};
use vitalwire_registry::{Directory, LoginLimits, Logins, User};
use vitalwire_testing::PASSWORD;

pub(crate) type Users = watch::Sender<Arc<Directory>>;

/// The least that argon2 can cost: these tests are not about its strength.
pub(crate) fn hash(password: &str) -> PasswordHash {
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    argon
        .hash_password(password.as_bytes(), &SaltString::encode_b64(b"some salt").unwrap())
        .unwrap()
        .to_string()
        .parse()
        .unwrap()
}

pub(crate) fn user(name: &str, role: Role) -> User {
    static HASH: LazyLock<PasswordHash> = LazyLock::new(|| hash(PASSWORD));
    User { name: name.parse().unwrap(), role, password_hash: HASH.clone() }
}

pub(crate) fn reader_of_all() -> Role {
    Role::Reader { devices: Scope::All }
}

pub(crate) fn reader_of(devices: &[&str]) -> Role {
    let devices = devices.iter().map(|id| id.parse::<DeviceId>().unwrap()).collect();
    Role::Reader { devices: Scope::Named(devices) }
}

pub(crate) fn directory(users: Vec<User>) -> Arc<Directory> {
    let users = users.into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect();
    Arc::new(Directory { users: Arc::new(users), ..Directory::default() })
}

/// `admin`, `reader` (all devices) and `scoped` (dev_a).
pub(crate) fn usual() -> Vec<User> {
    vec![user("admin", Role::Admin), user("reader", reader_of_all()), user("scoped", reader_of(&["dev_a"]))]
}

/// The login desk of these users.
pub(crate) fn logins(users: &Users) -> Arc<Logins> {
    Arc::new(Logins::new(users.subscribe(), LoginLimits::default()))
}

pub(crate) struct Running {
    pub(crate) broker: Broker,
    pub(crate) users: Users,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

impl Running {
    pub(crate) fn plain(&self) -> SocketAddr {
        self.broker.addresses().plain.unwrap()
    }

    pub(crate) fn change_users(&self, users: Vec<User>) {
        self.users.send_replace(directory(users));
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str, retain: bool) {
        self.broker.publish(topic, payload.to_owned().into(), retain);
    }

    /// Stops it and starts another on the same storage.
    pub(crate) async fn restart(self) -> Self {
        let Self { broker, users, folder } = self;
        broker.stop().await;
        start_with(folder, users, BrokerLimits::default()).await
    }
}

pub(crate) fn config(folder: &std::path::Path, limits: BrokerLimits) -> BrokerConfig {
    let plain = Some(([127, 0, 0, 1], 0).into());
    BrokerConfig { plain, limits, ..BrokerConfig::new(folder.join("mqtt")) }
}

pub(crate) async fn start_with(
    folder: Arc<tempfile::TempDir>,
    users: Users,
    limits: BrokerLimits,
) -> Running {
    let broker = Broker::start(config(folder.path(), limits), logins(&users)).await.unwrap();
    Running { broker, users, folder }
}

pub(crate) async fn start() -> Running {
    start_limited(BrokerLimits::default()).await
}

pub(crate) async fn start_limited(limits: BrokerLimits) -> Running {
    let (users, _) = watch::channel(directory(usual()));
    start_with(Arc::new(tempfile::tempdir().unwrap()), users, limits).await
}
