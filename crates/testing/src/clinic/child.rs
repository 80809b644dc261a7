//! A gateway in a process of its own, for tests that kill it. The process is the test program itself, at the ignored test
//! [`NAME`], which calls [`serve_until_killed`].

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use vitalwire_gateway::Limits;

use super::Clinic;
use crate::until;

/// What a test program calls the test that is no test of its own.
pub const NAME: &str = "the_gateway_that_is_killed";
/// The folder of the clinic that the child serves.
const FOLDER: &str = "VITALWIRE_KILL_TEST_FOLDER";
/// Where the child says on which addresses it serves.
const ADDRESSES: &str = "addresses";

/// A child process with a gateway. Dropping it kills it.
pub struct Gateway {
    process: process::Child,
    folder: PathBuf,
}

impl Gateway {
    /// Starts one for the clinic in this folder.
    pub fn start(folder: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args(["--ignored", "--exact", NAME])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self { process: child.unwrap(), folder: folder.to_owned() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Who looks for it finds the next one.
        let _ = fs::remove_file(self.folder.join(ADDRESSES));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the child process does.
pub async fn serve_until_killed() {
    serve_until_killed_with(Limits::default()).await;
}

/// The same, with these limits.
pub async fn serve_until_killed_with(limits: Limits) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("it is started by another test"));
    let mut clinic = Clinic::existing(&folder);
    clinic.start(limits, None).await;
    let text = format!("{} {}", clinic.server().addresses().devices, clinic.mqtt());
    let new = folder.join("addresses.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join(ADDRESSES)).unwrap();
    std::future::pending::<()>().await;
}

/// Where devices and readers connect to the gateway of this folder, once it serves.
pub fn addresses(folder: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let text = fs::read_to_string(folder.join(ADDRESSES)).ok()?;
    let (devices, mqtt) = text.split_once(' ')?;
    Some((devices.parse().ok()?, mqtt.parse().ok()?))
}

/// The same. Waits until it serves.
pub async fn serving(folder: &Path) -> (SocketAddr, SocketAddr) {
    let mut found = None;
    until("the gateway serves", || {
        found = addresses(folder);
        found.is_some()
    })
    .await;
    found.unwrap()
}
