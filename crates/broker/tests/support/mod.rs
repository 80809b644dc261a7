//! What the broker's tests share: a directory of users, a broker on free ports, and Debian's MQTT clients.

#![allow(dead_code, reason = "each test file uses a part")]

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use vitalwire_access::{DeviceId, Role, Scope};
use vitalwire_broker::{Broker, BrokerConfig, BrokerLimits};
use vitalwire_registry::{Directory, User};

/// Every user's password.
pub(crate) const PASSWORD: &str = "correct horse";
/// Long enough for a loaded machine; no test waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Users = watch::Sender<Arc<Directory>>;

/// The least that argon2 can cost: these tests are not about its strength.
pub(crate) fn hash(password: &str) -> String {
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    argon
        .hash_password(password.as_bytes(), &SaltString::encode_b64(b"some salt").unwrap())
        .unwrap()
        .to_string()
}

pub(crate) fn user(name: &str, role: Role) -> User {
    static HASH: LazyLock<String> = LazyLock::new(|| hash(PASSWORD));
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
        self.broker.publish(topic, payload.to_owned().into(), retain).await;
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
    BrokerConfig { plain, tls: None, websocket: None, storage: folder.join("mqtt"), limits }
}

pub(crate) async fn start_with(
    folder: Arc<tempfile::TempDir>,
    users: Users,
    limits: BrokerLimits,
) -> Running {
    let broker = Broker::start(config(folder.path(), limits), users.subscribe()).await.unwrap();
    Running { broker, users, folder }
}

pub(crate) async fn start() -> Running {
    start_limited(BrokerLimits::default()).await
}

pub(crate) async fn start_limited(limits: BrokerLimits) -> Running {
    let (users, _) = watch::channel(directory(usual()));
    start_with(Arc::new(tempfile::tempdir().unwrap()), users, limits).await
}

/// A `mosquitto_sub` or `mosquitto_pub` command for this user.
pub(crate) fn client(program: &str, address: SocketAddr, user: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(["-u", user, "-P", PASSWORD]).kill_on_drop(true).stdin(Stdio::null());
    command
}

pub(crate) async fn run(mut command: Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the client did not end").unwrap()
}

/// A running `mosquitto_sub -d -v`, line by line.
pub(crate) struct Subscriber {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Connects and returns when SUBACK has come.
    pub(crate) async fn start(address: SocketAddr, user: &str, options: &[&str]) -> Self {
        let mut subscriber = Self::connect(address, user, options);
        subscriber.line_with("Subscribed").await;
        subscriber
    }

    pub(crate) fn connect(address: SocketAddr, user: &str, options: &[&str]) -> Self {
        let mut command = client("mosquitto_sub", address, user);
        // Line buffered: otherwise its output comes when it ends.
        let mut buffered = Command::new("stdbuf");
        buffered.arg("-oL").arg("mosquitto_sub").args(command.as_std().get_args());
        command = buffered;
        command.args(["-d", "-v"]).args(options).kill_on_drop(true).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that holds the text; `None` when the client ended before.
    pub(crate) async fn find(&mut self, text: &str) -> Option<String> {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line with {text:?}"))
    }

    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        self.find(text).await.unwrap_or_else(|| panic!("the client ended before {text:?}"))
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Waits until the condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
