//! Debian's haproxy before a server of the test's own.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{free_port, until};

/// What haproxy forwards, and how it says for whom.
#[derive(Clone, Copy)]
pub enum Forward {
    /// Bytes, with a header of the PROXY protocol, version 2, before them.
    Tcp(SocketAddr),
    /// Requests, with `X-Forwarded-For`.
    Http(SocketAddr),
}

/// A haproxy that ends when this is dropped.
pub struct Haproxy {
    child: Child,
    _folder: TempDir,
    /// Where it listens, on 127.0.0.1, in the order of what it forwards.
    pub listens: Vec<SocketAddr>,
}

impl Haproxy {
    /// Starts it.
    pub async fn start(forwards: &[Forward]) -> Self {
        let mut config = "defaults\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n".to_owned();
        let mut listens = Vec::new();
        for forward in forwards {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let (mode, server) = match forward {
                Forward::Tcp(server) => ("tcp", format!("{server} send-proxy-v2")),
                Forward::Http(server) => ("http", format!("{server}\n option forwardfor")),
            };
            write!(config, "listen {listen}\n mode {mode}\n bind {listen}\n server it {server}\n").unwrap();
            listens.push(listen);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        // Debian puts it where a user's PATH may not look.
        let found = std::path::Path::new("/usr/sbin/haproxy").exists();
        let child = Command::new(if found { "/usr/sbin/haproxy" } else { "haproxy" })
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .expect("haproxy is installed (apt-get install haproxy)");
        let haproxy = Self { child, _folder: folder, listens };
        // It binds all or none. A connection would be forwarded; the kernel's table tells without one.
        let last = format!(":{:04X} ", haproxy.listens.last().unwrap().port());
        until("haproxy listens", || {
            std::fs::read_to_string("/proc/net/tcp")
                .unwrap()
                .lines()
                .any(|line| line.contains(&last) && line.contains(" 0A "))
        })
        .await;
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
