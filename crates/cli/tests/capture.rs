//! `vitalwire verify-capture` on what tcpdump captured of the real binary's traffic: the secure link, the paper's frames,
//! MQTT in the clear and over TLS.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_testing::free_port;
use vitalwire_testing::program::{Lines, Running, signal, until, wait};

const PASSWORD: &str = "a good password";
/// Ends a capture: what came before it is in the file when it is.
const END: &[u8] = b"here ends the capture of this test";

/// A server with a device on the secure link, one of the paper's, and a reader.
struct Ward {
    data: Data,
    serve: Serve,
    keys: PathBuf,
    links: PathBuf,
    psk: String,
    identity: String,
}

impl Ward {
    fn open() -> Self {
        let data = Data::new();
        let keys = data.must(&["device", "add", "paper_01", "--protocol", "aes-cbc"]);
        let keys = data.file("keys", &keys);
        let psk = data.must(&["device", "add", "bed_07"]);
        let value = |name: &str| psk.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let (identity, psk) = (value("identity: "), value("psk: "));
        let links = data.file("LINKS.txt", &format!("bed_07 {identity} {psk}\n"));
        std::fs::set_permissions(&links, std::fs::Permissions::from_mode(0o600)).unwrap();
        data.must(&["patient", "set", "bed_07", "--name", "Ana Canaria", "--notes", "asthma since 1999"]);
        data.add_user("nurse", PASSWORD);
        let serve = Serve::start(&data.folder());
        Self { data, serve, keys, links, psk, identity }
    }

    /// The devices of one file, for so many seconds or until this is dropped.
    fn fleet(&self, source: &[&str], file: &Path, seconds: &str) -> Running {
        let mut command = vitalwire();
        command.args(["simulate", "fleet", "--target", self.serve.address("devices"), "--seconds", seconds]);
        command.args(source).arg(file);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What `mosquitto_sub` takes of twenty messages.
    fn subscribe(&self, port: &str, more: &[&str]) {
        let status = Command::new("mosquitto_sub")
            .args(["-h", "localhost", "-p", port, "-u", "nurse", "-P", PASSWORD, "-t", "Pico/#", "-C", "20"])
            .args(more)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("mosquitto_sub is installed (apt-get install mosquitto-clients)").success());
    }

    fn verify(&self, file: &Path, port: &str, more: &[&str]) -> Output {
        let file = file.to_str().unwrap();
        run(&[&["verify-capture", file, "--port", port, "--data", self.data.path()], more].concat())
    }

    /// The text, and what `--json` says of the flows that carried something.
    fn report(&self, file: &Path, port: &str) -> (Output, Vec<Value>) {
        let text = self.verify(file, port, &[]);
        assert!(stdout(&text).lines().all(|line| line.chars().count() <= 80), "{}", stdout(&text));
        let json = self.verify(file, port, &["--json"]);
        assert_eq!(json.status.code(), text.status.code());
        for secret in [self.psk.as_str(), PASSWORD, "Canaria", "asthma"] {
            assert!(!stdout(&text).contains(secret) && !stdout(&json).contains(secret));
        }
        let mut report: Value = serde_json::from_str(&stdout(&json)).unwrap();
        let Value::Array(flows) = report["flows"].take() else { panic!("{report}") };
        (text, flows.into_iter().filter(|flow| flow["verdict"] != "empty").collect())
    }
}

/// tcpdump on the loopback interface.
struct Sniffer {
    tcpdump: Running,
    file: PathBuf,
    end: u16,
}

impl Sniffer {
    fn start(ward: &Ward, port: &str) -> Self {
        let (file, end) = (ward.data.file("capture.pcap", ""), free_port());
        let is_root = rustix::process::geteuid().is_root();
        let mut command = if is_root { Command::new("tcpdump") } else { Command::new("sudo") };
        if !is_root {
            command.args(["-n", "tcpdump"]);
        }
        // Each packet goes into the file at once, and tcpdump stays who it is: the folder is ours alone.
        command
            .args(["-i", "lo", "-U", "--immediate-mode", "-B", "65536", "-n", "-Z", "root", "-w"])
            .arg(&file);
        command.arg(format!("tcp port {port} or udp port {end}")).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tcpdump is installed (apt-get install tcpdump)");
        let lines = Lines::of(child.stderr.take().unwrap());
        lines.until("that it listens", |line| line.contains("listening on"));
        Self { tcpdump: Running(child), file, end }
    }

    /// The file, with everything that was sent up to now.
    fn stop(mut self) -> PathBuf {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        until("the end is captured", || {
            let _ = socket.send_to(END, ("127.0.0.1", self.end));
            let file = std::fs::read(&self.file).unwrap();
            file.windows(END.len()).any(|window| window == END)
        });
        signal(&self.tcpdump.0, "INT");
        wait(&mut self.tcpdump.0);
        self.file
    }
}

fn found(flow: &Value) -> String {
    flow["findings"].to_string()
}

#[test]
fn the_secure_link_is_shown_to_be_encrypted() {
    let ward = Ward::open();
    let port = ward.serve.port("devices");
    let sniffer = Sniffer::start(&ward, port);
    let mut fleet = ward.fleet(&["--protocol", "tls", "--links"], &ward.links, "2");
    assert!(wait(&mut fleet.0).success());
    let file = sniffer.stop();
    let (text, flows) = ward.report(&file, port);
    assert_eq!(text.status.code(), Some(0), "{}{}", stdout(&text), stderr(&text));
    assert!(stdout(&text).contains("All of it was encrypted, and nothing was found."), "{}", stdout(&text));
    let tls = &flows[0]["tls"];
    assert_eq!((&tls["version"], &tls["pre_shared_key"]), (&"TLS 1.3".into(), &true.into()));
    assert!(flows[0]["bytes_to_server"].as_u64() > Some(400) && flows[0]["repeated_blocks"] == 0);
    // The identity was there, in the place where it may be.
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.windows(32).any(|window| window == ward.identity.as_bytes()));

    // Cut anywhere the file is refused, and the exit status is another.
    let cut = ward.data.file("cut.pcap", "");
    std::fs::write(&cut, &bytes[..bytes.len() - 10]).unwrap();
    let refused = ward.verify(&cut, port, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("cut.pcap: it is cut off within the record at byte"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(stdout(&refused), "");
}

#[test]
fn the_papers_frames_show_blocks_that_repeat() {
    let ward = Ward::open();
    let port = ward.serve.port("devices");
    let sniffer = Sniffer::start(&ward, port);
    let mut fleet = ward.fleet(&["--keys"], &ward.keys, "2");
    assert!(wait(&mut fleet.0).success());
    let file = sniffer.stop();
    let (text, flows) = ward.report(&file, port);
    assert_eq!(text.status.code(), Some(1), "{}", stderr(&text));
    assert_eq!(flows[0]["protocol"], "AES-CBC frames");
    assert!(flows[0]["repeated_blocks"].as_u64() > Some(0), "{}", flows[0]);
    assert_eq!(flows[0]["findings"], Value::Array(Vec::new()));
    assert!(stdout(&text).contains("of ciphertext had been there before: byte"), "{}", stdout(&text));
}

#[test]
fn mqtt_in_the_clear_shows_the_login_the_names_and_the_values() {
    let ward = Ward::open();
    let port = ward.serve.port("mqtt");
    let sniffer = Sniffer::start(&ward, port);
    let _fleet = ward.fleet(&["--protocol", "tls", "--links"], &ward.links, "600");
    ward.subscribe(port, &["-t", "vitalwire/#"]);
    let file = sniffer.stop();
    let (text, flows) = ward.report(&file, port);
    assert_eq!(text.status.code(), Some(1), "{}", stderr(&text));
    // No topic has who wears the device.
    assert!(!flows.iter().any(|flow| found(flow).contains("of the patient")), "{flows:?}");
    let flow = &flows[0];
    assert!(flow["protocol"] == "MQTT" && flow["mqtt_messages"].as_u64() >= Some(20), "{flow}");
    assert!(flow["reasons"].to_string().contains("\"password\""), "{flow}");
    for what in ["the name of the device bed_07", "the name of the user nurse", "`Temperature` of a topic"] {
        assert!(found(flow).contains(what), "{what} in {}", found(flow));
    }
    // Without the registry the words of topics are enough.
    let without = run(&["verify-capture", file.to_str().unwrap(), "--port", port]);
    assert_eq!(without.status.code(), Some(1));
    assert!(stdout(&without).contains("Without --data") && !stdout(&without).contains("bed_07"));
}

#[test]
fn mqtt_over_tls_is_shown_to_be_encrypted() {
    let ward = Ward::open();
    let port = ward.serve.port("mqtt_tls");
    let sniffer = Sniffer::start(&ward, port);
    let _fleet = ward.fleet(&["--protocol", "tls", "--links"], &ward.links, "600");
    let certificate = ward.data.folder().join("tls/broker-certificate.pem");
    ward.subscribe(port, &["--cafile", certificate.to_str().unwrap()]);
    let file = sniffer.stop();
    let (text, flows) = ward.report(&file, port);
    assert_eq!(text.status.code(), Some(0), "{}{}", stdout(&text), stderr(&text));
    let tls = &flows[0]["tls"];
    assert_eq!((&tls["version"], &tls["pre_shared_key"]), (&"TLS 1.3".into(), &false.into()));
}

#[test]
fn what_is_no_capture_ends_with_status_2_and_says_why() {
    let data = Data::new();
    let text = data.file("notes.txt", "no capture");
    let refused = run(&["verify-capture", text.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("notes.txt: it is no pcap or pcapng file"), "{}", stderr(&refused));
    let missing = run(&["verify-capture", "/nowhere/x.pcap"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("cannot open /nowhere/x.pcap"), "{}", stderr(&missing));
    let no_registry = run(&["verify-capture", text.to_str().unwrap(), "--data", "/nowhere"]);
    assert_eq!(no_registry.status.code(), Some(2));
}
