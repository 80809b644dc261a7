//! Debian's RabbitMQ with its MQTT plug-in: a broker of the test's own, with an Erlang port mapper of its own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::program::{Running, signal, wait};
use crate::{LOOK, PASSWORD, PATIENCE, free_port};

const STARTING_MAX: Duration = Duration::from_secs(120);

/// A RabbitMQ that ends when this is dropped.
pub struct RabbitMq {
    server: Child,
    _port_mapper: Running,
    /// Where it listens for MQTT, on 127.0.0.1.
    pub port: u16,
}

impl RabbitMq {
    /// With its files in this folder, and users of [`PASSWORD`] who may do all, and others who may only read.
    pub async fn start(folder: &Path, port: u16, users: &[&str], readers: &[&str]) -> Self {
        let mapper = free_port();
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &mapper.to_string()]);
        let port_mapper = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let port_mapper =
            Running(port_mapper.expect("RabbitMQ is installed (scripts/install rabbitmq-server)"));
        listens(mapper).await;
        write_settings(folder, port, users, readers);
        let log = std::fs::File::create(folder.join("rabbitmq.out")).unwrap();
        let mut command = Command::new(program());
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env("RABBITMQ_NODENAME", "vitalwire@localhost")
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            // A group of its own, as the program is a script that starts the broker.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let server = command.spawn().unwrap();
        let rabbit = Self { server, _port_mapper: port_mapper, port };
        rabbit.started(folder).await;
        rabbit
    }

    /// Waits until it says so: before, it listens and knows no user yet.
    async fn started(&self, folder: &Path) {
        let output = folder.join("rabbitmq.out");
        let said = async {
            while !std::fs::read_to_string(&output).unwrap().contains(" completed with ") {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Erlang starts many things, on a machine that is busy with other tests.
        let started = tokio::time::timeout(STARTING_MAX, said).await;
        let said = || std::fs::read_to_string(&output).unwrap();
        assert!(started.is_ok(), "RabbitMQ does not start: {}", said());
    }

    /// Ends it the ordinary way.
    pub fn stop(mut self) {
        signal(&self.server, "TERM");
        wait(&mut self.server);
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        let group = format!("-{}", self.server.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.server.wait();
    }
}

async fn listens(port: u16) {
    let ready = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it listens");
}

/// The program itself: the one in the PATH wants to be root and becomes the system's user.
fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .expect("RabbitMQ is installed (scripts/install rabbitmq-server)");
    let mut versions = versions.map(|entry| entry.unwrap().path().join("sbin/rabbitmq-server"));
    versions.find(|program| program.exists()).expect("RabbitMQ has its program")
}

fn write_settings(folder: &Path, port: u16, users: &[&str], readers: &[&str]) {
    let settings = format!(
        "listeners.tcp = none\nmqtt.listeners.tcp.default = 127.0.0.1:{port}\nmqtt.allow_anonymous = false\n\
         mqtt.vhost = /\nmqtt.exchange = amq.topic\nmqtt.subscription_ttl = 604800000\n\
         load_definitions = {}\n",
        folder.join("definitions.json").display()
    );
    std::fs::write(folder.join("rabbitmq.conf"), settings).unwrap();
    std::fs::write(folder.join("plugins"), "[rabbitmq_mqtt].\n").unwrap();
    let all = || users.iter().chain(readers);
    let list = |entries: Vec<String>| entries.join(",");
    let accounts =
        list(all().map(|name| format!(r#"{{"name":"{name}","password":"{PASSWORD}","tags":""}}"#)).collect());
    let rights = list(
        all()
            .map(|name| {
                format!(r#"{{"user":"{name}","vhost":"/","configure":".*","write":".*","read":".*"}}"#)
            })
            .collect(),
    );
    let topics = list(
        readers
            .iter()
            .map(|name| {
                format!(r#"{{"user":"{name}","vhost":"/","exchange":"amq.topic","write":"^$","read":".*"}}"#)
            })
            .collect(),
    );
    let definitions = format!(
        r#"{{"vhosts":[{{"name":"/"}}],"users":[{accounts}],"permissions":[{rights}],"topic_permissions":[{topics}]}}"#
    );
    std::fs::write(folder.join("definitions.json"), definitions).unwrap();
}
