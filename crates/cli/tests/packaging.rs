//! What packages rely on: words to systemd, the master key as a credential, the manual and completions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Data, Serve, run, stdout};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket on which systemd listens.
fn supervisor(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A server on ports of the system's choice.
fn serve(data: &Data, variables: &[(&str, &OsStr)]) -> Serve {
    Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]).envs(variables.iter().copied());
    })
}

fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let len = socket.recv(&mut bytes).expect("the service says nothing");
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

#[test]
fn systemd_hears_when_the_service_is_ready_alive_and_stopping() {
    let data = Data::new();
    let path = data.folder().with_file_name("notify");
    let socket = supervisor(&path);
    let serve = serve(&data, &[("NOTIFY_SOCKET", path.as_os_str()), ("WATCHDOG_USEC", OsStr::new("200000"))]);
    assert_eq!(heard(&socket), format!("READY=1\nSTATUS={}", serve.line));
    for _ in 0..3 {
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }
    assert!(serve.terminate().1.success());
    let last = std::iter::repeat_with(|| heard(&socket)).find(|words| words != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_service_that_is_not_ready_does_not_say_so() {
    let data = Data::new();
    let path = data.folder().with_file_name("notify");
    let socket = supervisor(&path);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = support::vitalwire()
        .args(["serve", "--data", data.path(), "--listen", &address, "--metrics-listen", "off"])
        .env("NOTIFY_SOCKET", &path)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err());
}

#[test]
fn a_supervisor_that_is_gone_stops_nothing() {
    let data = Data::new();
    let path = data.folder().with_file_name("notify");
    drop(supervisor(&path));
    let serve = serve(&data, &[("NOTIFY_SOCKET", path.as_os_str()), ("WATCHDOG_USEC", OsStr::new("200000"))]);
    assert!(serve.terminate().1.success());
}

#[test]
fn the_master_key_comes_as_a_credential() {
    let data = Data::new();
    let credentials = data.folder().with_file_name("credentials");
    fs::create_dir(&credentials).unwrap();
    let credential = credentials.join("vitalwire-master-key");
    fs::rename(data.folder().with_file_name("data.master-key"), &credential).unwrap();
    // As systemd leaves it for a service of another user.
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
    let serve = serve(&data, &[("CREDENTIALS_DIRECTORY", credentials.as_os_str())]);
    assert!(serve.terminate().1.success());
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let made = run(&["completions", shell]);
        assert!(made.status.success(), "{shell}");
        let script = stdout(&made);
        assert!(script.contains("verify-capture") && script.contains("master-key"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn bash_completes_a_command_from_its_first_letters() {
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(&script, stdout(&run(&["completions", "bash"]))).unwrap();
    let ask = ". \"$0\"; COMP_WORDS=(vitalwire ver); COMP_CWORD=1; _vitalwire vitalwire ver vitalwire; echo \"${COMPREPLY[@]}\"";
    let answer = Command::new("bash").args(["-c", ask]).arg(script.path()).output().unwrap();
    assert_eq!(stdout(&answer), "verify-capture\n", "{}", support::stderr(&answer));
}

#[test]
fn the_manual_has_a_page_for_each_command_with_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let made = run(&["man", pages.to_str().unwrap()]);
    assert!(made.status.success(), "{}", support::stderr(&made));
    assert_eq!(stdout(&made).lines().count(), fs::read_dir(&pages).unwrap().count());
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("vitalwire.1").contains("vitalwire\\-serve(1)"));
    // An example's second line stays a line of its own.
    let example = "\n      \\-\\-mqtt\\-url mqtts://gateway@emqx.example:8883\n";
    assert!(page("vitalwire-serve.1").contains(example), "{}", page("vitalwire-serve.1"));
    assert!(page("vitalwire-device-add.1").contains(".SH EXAMPLES"));
}
