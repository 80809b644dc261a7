//! The real binary as a device on virtual hardware: set up as a browser does it, or by a flag, and then collecting for a real
//! server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use support::{Data, Serve, run, stderr, vitalwire};
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::seal;
use vitalwire_testing::program::{Lines, Running, until, wait};

const PASSWORD: &str = "a good password";

/// The seven values of a device.
const VALUES: [&str; 7] = [
    "Physiological_Data/Temperature",
    "Physiological_Data/Pulse_Signal",
    "Physiological_Data/Accelerometer/x",
    "Physiological_Data/Accelerometer/y",
    "Physiological_Data/Accelerometer/z",
    "Internal_Device_Data/Temperature/MCU",
    "Internal_Device_Data/Temperature/MPU",
];

/// A data folder with a device of each protocol and a reader.
fn ward() -> Data {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&["device", "add", "old_01", "--protocol", "aes-cbc"]);
    data.add_user("nurse", PASSWORD);
    data
}

fn provision(data: &Data, id: &str) -> PathBuf {
    let path = data.folder().with_file_name(format!("{id}.bin"));
    data.must(&["device", "provision", id, "--bin", path.to_str().unwrap()]);
    path
}

/// A desk device, and what it says.
struct Device {
    running: Running,
    out: Lines,
    told: Lines,
}

impl Device {
    fn start(identity: &Path, more: &[&str]) -> Self {
        let mut command = vitalwire();
        command.args(["simulate", "device", "--identity"]).arg(identity).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, told) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        Self { running: Running(child), out, told }
    }

    /// Reads what it tells up to a line with these words, and gives back all of it.
    #[track_caller]
    fn told(&self, words: &str) -> String {
        self.told.until(words, |line| line.contains(words))
    }

    /// The address of its page, and the setup key.
    fn page(&self) -> Page {
        let line = self.out.next().unwrap();
        let url = line.strip_prefix("page: http://").unwrap();
        let (address, key) = url.split_once("/#").unwrap();
        assert_eq!(key.len(), 32);
        let key = std::array::from_fn(|at| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap());
        Page { address: address.to_owned(), key }
    }

    /// Stops it as Ctrl-C does; what it says at its end.
    fn stop(mut self) -> (ExitStatus, String) {
        let pid = self.running.0.id().to_string();
        std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
        let last = self.told("stopped:");
        (wait(&mut self.running.0), last)
    }
}

/// The configuration page, as a browser sees it.
struct Page {
    address: String,
    key: [u8; 16],
}

impl Page {
    fn ask(&self, request: &[u8]) -> (u16, Vec<u8>) {
        self.try_to_ask(request).unwrap()
    }

    fn try_to_ask(&self, request: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(vitalwire_testing::PATIENCE))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.ok_or(std::io::ErrorKind::UnexpectedEof)? + 4;
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        Ok((head[9..12].parse().unwrap(), answer[end..].to_vec()))
    }

    /// What the device says in its page.
    fn state(&self) -> serde_json::Value {
        let (status, body) = self.ask(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).as_bytes());
        assert_eq!(status, 200);
        let mut page = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut page).unwrap();
        let state = page.rsplit_once("</script>").unwrap().0;
        serde_json::from_str(state.rsplit_once('>').map_or(state, |(_, state)| state)).unwrap()
    }

    /// Saves settings as the page does; status and answer.
    fn save(&self, settings: &Settings, key: &[u8; 16]) -> (u16, String) {
        let nonce = self.state()["nonce"].as_str().unwrap().to_owned();
        let nonce = std::array::from_fn(|at| u8::from_str_radix(&nonce[2 * at..2 * at + 2], 16).unwrap());
        let mut body = [0; 512];
        let len = seal::seal(settings, key, &nonce, &[9; 12], &mut body).unwrap();
        let head = format!("POST /save HTTP/1.1\r\nHost: {}\r\nContent-Length: {len}\r\n\r\n", self.address);
        let (status, answer) = self.ask(&[head.as_bytes(), &body[..len]].concat());
        (status, String::from_utf8(answer).unwrap())
    }
}

fn settings(server: &str, wifi_name: &str, wifi_password: &str) -> Settings {
    let (host, port) = server.rsplit_once(':').unwrap();
    Settings::new(host, port.parse().unwrap(), wifi_name.as_bytes(), wifi_password).unwrap()
}

/// Waits until a subscriber has seen all seven values of each device.
fn assert_values_arrive(serve: &Serve, devices: &[&str]) {
    let mut subscriber = Running(
        vitalwire()
            .args(["subscribe", "--url", &format!("mqtt://nurse@{}", serve.address("mqtt"))])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut missing: BTreeSet<_> =
        devices.iter().flat_map(|id| VALUES.map(|value| format!("Pico/{id}/{value}"))).collect();
    Lines::of(subscriber.0.stdout.take().unwrap()).until("all values", |line| {
        missing.remove(line.split(' ').next().unwrap());
        missing.is_empty()
    });
}

#[test]
fn devices_of_both_protocols_bring_the_seven_values_to_a_subscriber() {
    let data = ward();
    let serve = Serve::start(&data.folder());
    let server = serve.address("devices");
    let devices = ["bed_07", "old_01"].map(|id| Device::start(&provision(&data, id), &["--server", server]));
    for device in &devices {
        device.told("takes its values");
    }
    assert_values_arrive(&serve, &["bed_07", "old_01"]);
    for device in devices {
        let (status, last) = device.stop();
        assert!(status.success() && last.contains("delivered"), "{last}");
    }
}

#[test]
fn a_device_that_was_set_up_on_its_page_collects_and_remembers() {
    let data = ward();
    let serve = Serve::start(&data.folder());
    let identity = provision(&data, "bed_07");
    let flash = data.folder().with_file_name("bed_07.flash");
    let keep = ["--flash", flash.to_str().unwrap()];
    let device = Device::start(&identity, &[&keep[..], &["--setup"]].concat());
    let page = device.page();
    device.told("waiting for the page");
    let state = page.state();
    assert_eq!(state["id"].as_str().map(str::len), Some(32));
    assert!(state["networks"].as_array().unwrap().len() >= 3 && state["trouble"].is_null(), "{state}");
    let settings = settings(serve.address("devices"), "a name of my own", "12345678");
    let (status, answer) = page.save(&settings, &[7; 16]);
    assert_eq!(status, 403, "{answer}");
    let (status, answer) = page.save(&settings, &page.key);
    assert_eq!((status, answer.as_str()), (200, "{\"saved\":true}"));
    let told = device.told("takes its values");
    assert!(told.contains("saved"), "{told}");
    let get = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", page.address);
    // Another program may have got the port meanwhile, but none of them has a page in gzip.
    let is_served = page.try_to_ask(get.as_bytes()).is_ok_and(|(_, body)| body.starts_with(b"\x1f\x8b"));
    assert!(!is_served, "the page is gone once it was saved");
    assert_values_arrive(&serve, &["bed_07"]);
    assert!(device.stop().0.success());

    let again = Device::start(&identity, &keep);
    let told = again.told("takes its values");
    assert!(!told.contains("waiting for the page"), "{told}");
}

#[test]
fn bad_requests_and_idle_connections_leave_the_page_available() {
    let data = ward();
    let device = Device::start(&provision(&data, "old_01"), &["--setup"]);
    let page = device.page();
    let host = &page.address;
    let long = format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {}\r\n\r\n", "a".repeat(10_000));
    let requests = [
        (431, long.as_str()),
        (405, &format!("PUT /save HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")),
        (404, &format!("GET /etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n")),
        (302, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        (403, "POST /save HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"),
        (400, "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\r\n\r\n"),
    ];
    for (status, request) in requests {
        assert_eq!(page.ask(request.as_bytes()).0, status, "{}", request.escape_debug());
    }
    // Browsers open connections that they do not use, and go half way through a request. The modem has no more links, and
    // refuses who comes then, until the first of them have waited too long.
    let idle: Vec<_> = (0..4).map(|_| TcpStream::connect(host).unwrap()).collect();
    TcpStream::connect(host).unwrap().write_all(b"POST /save HTTP/1.1\r\nHost").unwrap();
    let again = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    until("the page is there again", || page.try_to_ask(again.as_bytes()).is_ok());
    drop(idle);
    until("all is quiet again", || page.try_to_ask(again.as_bytes()).is_ok());
    assert_eq!(page.state()["id"], "old_01");
    let (status, answer) = page.save(&settings("127.0.0.1:1", "Ward 3", "12345678"), &page.key);
    assert_eq!(status, 200, "{answer}");
    device.told("saved");
}

#[test]
fn a_wrong_wifi_password_is_told_and_the_next_page_says_it() {
    let data = ward();
    let serve = Serve::start(&data.folder());
    let identity = provision(&data, "bed_07");
    let flash = data.folder().with_file_name("bed_07.flash");
    let setup = ["--flash", flash.to_str().unwrap(), "--wifi-password", "the right one", "--setup"];
    let device = Device::start(&identity, &setup);
    let page = device.page();
    let server = serve.address("devices");
    assert_eq!(page.save(&settings(server, "Ward 3", "a wrong one"), &page.key).0, 200);
    device.told("refused the password");
    assert!(device.stop().0.success());

    let device = Device::start(&identity, &setup);
    let page = device.page();
    let state = page.state();
    assert!(state["trouble"].as_str().unwrap().contains("password"), "{state}");
    assert_eq!(page.save(&settings(server, "Ward 3", "the right one"), &page.key).0, 200);
    device.told("takes its values");
}

#[test]
fn what_was_not_delivered_waits_in_the_flash_for_the_next_start() {
    let data = ward();
    let serve = Serve::start(&data.folder());
    let identity = provision(&data, "bed_07");
    let flash = data.folder().with_file_name("bed_07.flash");
    let keep = ["--flash", flash.to_str().unwrap(), "--server"];
    // Nothing listens on port 1 of this computer.
    let device = Device::start(&identity, &[&keep[..], &["127.0.0.1:1"]].concat());
    device.told("Nothing answers");
    // Some ten of them; how many exactly is told depends on the machine.
    device.told("0 batches delivered, ");
    let (_, last) = device.stop();
    assert!(last.contains("0 batches delivered") && last.contains("wait in its flash"), "{last}");
    let server = serve.address("devices");
    let device = Device::start(&identity, &[&keep[..], &[server]].concat());
    let is_delivery = |line: &str| line.contains(" batches delivered, ") && !line.starts_with("0 ");
    device.told.until("a delivery", is_delivery);
    let (_, last) = device.stop();
    assert!(!last.contains(" 0 batches delivered"), "{last}");
}

#[test]
fn what_cannot_work_is_refused_in_plain_words() {
    let data = ward();
    let (bed, old) = (provision(&data, "bed_07"), provision(&data, "old_01"));
    let (bed, old) = (bed.to_str().unwrap(), old.to_str().unwrap());
    let flash = data.folder().with_file_name("bed_07.flash");
    let flash = flash.to_str().unwrap();
    let device = Device::start(Path::new(bed), &["--flash", flash, "--server", "127.0.0.1:1"]);
    let in_use = ["simulate", "device", "--identity", bed, "--flash", flash, "--server", "127.0.0.1:1"];
    let refused = |arguments: &[&str], words: &str| {
        let output = run(arguments);
        assert!(!output.status.success());
        let message = stderr(&output);
        assert!(message.contains(words), "{words:?}: {message}");
    };
    device.told("Nothing answers");
    refused(&in_use, "another software device uses this flash file");
    device.stop();
    refused(&["simulate", "device", "--identity", old, "--flash", flash], "belongs to another device");
    refused(&["simulate", "device", "--identity", bed, "--protocol", "aes-cbc"], "enrolled for TLS");
    refused(&["simulate", "device", "--identity", bed, "--server", "nowhere"], "HOST:PORT");
    refused(
        &["simulate", "device", "--identity", bed, "--page-listen", "0.0.0.0:0"],
        "address of this computer",
    );
    refused(&["simulate", "device"], "--identity");
    refused(&["simulate", "pico", "--identity", bed], "needs a terminal");
    let open = data.file("open.bin", "not an identity");
    refused(&["simulate", "device", "--identity", open.to_str().unwrap()], "chmod");
}
