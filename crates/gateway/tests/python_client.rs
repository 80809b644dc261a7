//! `examples/python-client`, written from PROTOCOL.md alone, against the real gateway: that text is enough.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use vitalwire_gateway::Limits;
use vitalwire_testing::PATIENCE;
use vitalwire_testing::clinic::{Clinic, Subscriber};
use vitalwire_testing::link::{LinkDevice, batch_of};

const BOOT: &str = "0123456789abcdef";
const BATCH_MS: u32 = 200;
/// Each batch takes its time, and each line waits for a process.
const CLIENT_PATIENCE: Duration = Duration::from_secs(3 * PATIENCE.as_secs());

/// A running client; killed when dropped.
struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Client {
    fn start(folder: &Path, device: &LinkDevice, words: &[&str]) -> Self {
        let key = folder.join("device.key");
        std::fs::write(&key, key_file(device)).unwrap();
        let mut command = Command::new(python());
        command.arg(program()).arg(device.address.to_string()).arg(&key);
        command.arg("--outbox").arg(folder.join("outbox")).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(CLIENT_PATIENCE, self.lines.next_line()).await;
        line.expect("the client says something").unwrap()
    }

    /// Reads until it says `wanted`.
    async fn says(&mut self, wanted: &str) {
        let mut said = Vec::new();
        while let Some(line) = self.line().await {
            if line == wanted {
                return;
            }
            said.push(line);
        }
        panic!("the client ended without saying {wanted:?}, after {said:#?}");
    }

    /// Ends it at once, and what it has started: `openssl` ends when its standard input does.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// What else it says before it ends well.
    async fn finish(mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = self.line().await {
            said.push(line);
        }
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "the client failed ({status}), after {said:#?}");
        said
    }
}

/// As `vitalwire device psk` prints it.
fn key_file(device: &LinkDevice) -> String {
    let psk: String = device.link.psk.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("identity: {}\npsk: {psk}\n", device.link.id)
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/python-client/vitalwire_client.py")
}

/// A Python with cbor2: the system's own, where apt-get puts it, or else the first on the path.
fn python() -> &'static str {
    let runs = |program: &str, words: &[&str]| {
        let quiet = std::process::Command::new(program).args(words).stderr(Stdio::null()).output();
        quiet.is_ok_and(|output| output.status.success())
    };
    assert!(runs("openssl", &["version"]), "this test needs the openssl program: apt-get install openssl");
    ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(|python| runs(python, &["-c", "import cbor2"]))
        .expect("this test needs Python 3 with cbor2: apt-get install python3 python3-cbor2")
}

async fn clinic() -> Clinic {
    let mut clinic = Clinic::closed();
    clinic.batch_ms = Some(BATCH_MS);
    clinic.start(Limits::default(), None).await;
    clinic
}

/// How often each moment (batch, index) of the boot came, until the last of `batches` has come.
async fn moments(subscriber: &mut Subscriber, boot: &str, batches: u64) -> BTreeMap<(u64, u64), usize> {
    let mut moments = BTreeMap::new();
    while !(1..=batches).all(|sequence| moments.contains_key(&(sequence, 0))) {
        let reading = subscriber.value("vitalwire/v1/d/reading").await;
        let reading: serde_json::Value = serde_json::from_str(&reading).unwrap();
        assert_eq!(reading["boot"], boot);
        let (sequence, index) = (reading["sequence"].as_u64().unwrap(), reading["index"].as_u64().unwrap());
        let temperature = &reading["values"]["Temperature"]["value"];
        assert_eq!(temperature.as_f64(), Some((3_600 + sequence) as f64 / 100.0), "batch {sequence}");
        *moments.entry((sequence, index)).or_default() += 1;
    }
    moments
}

#[tokio::test]
async fn a_client_written_from_the_text_delivers_exact_values_and_is_acknowledged() {
    let clinic = clinic().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["Pico/d/#", "vitalwire/v1/d/event"]).await;
    let client = Client::start(clinic.folder.path(), &device, &["--boot", BOOT, "--batches", "3"]);
    let mut temperatures = Vec::new();
    let mut pulses = Vec::new();
    let mut started = false;
    while temperatures.len() < 3 || pulses.len() < 3 * 4 || !started {
        let (topic, payload) = subscriber.next().await;
        match topic.as_str() {
            "Pico/d/Physiological_Data/Temperature" => temperatures.push(payload),
            "Pico/d/Physiological_Data/Pulse_Signal" => pulses.push(payload),
            "vitalwire/v1/d/event" => started |= payload.contains("the Python client started"),
            _ => {}
        }
    }
    // The temperature as typed array, the pulse packed: its sine has four values, as Configure asked.
    assert_eq!(temperatures, ["36.01", "36.02", "36.03"]);
    assert_eq!(pulses, ["1.650", "2.650", "1.650", "0.650"].repeat(3));
    let said = client.finish().await;
    assert_eq!(said[..2], ["welcome, held up to 0", &format!("batches of {BATCH_MS} ms")]);
    assert_eq!(said.last().unwrap(), "acknowledged 3");
}

#[tokio::test]
async fn what_a_cut_connection_and_a_killed_client_leave_is_sent_again_and_published_once() {
    let clinic = clinic().await;
    let device = clinic.enrol_link("d").await;
    let mut readings = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let start = || {
        let words = ["--boot", BOOT, "--batches", "8", "--cut-after", "2"];
        Client::start(clinic.folder.path(), &device, &words)
    };
    let mut client = start();
    client.says("acknowledged 4").await;
    client.kill().await;
    let said = start().finish().await;
    assert!(said[0].starts_with("welcome, held up to "), "{said:?}");
    assert_eq!(said.last().unwrap(), "acknowledged 8");
    let moments = moments(&mut readings, BOOT, 8).await;
    assert!(moments.values().all(|times| *times == 1), "{moments:?}");
    assert!(readings.rest().is_empty(), "a reading came twice");
    assert_eq!(clinic.server().stats().duplicates, 0);
}

#[tokio::test]
async fn a_past_boots_batches_are_delivered_before_those_of_the_present_one() {
    let clinic = clinic().await;
    let device = clinic.enrol_link("d").await;
    let mut readings = clinic.subscribe(&["vitalwire/v1/d/reading"]).await;
    let folder = clinic.folder.path();
    let mut client = Client::start(folder, &device, &["--boot", BOOT, "--batches", "3"]);
    while !client.line().await.unwrap().starts_with("sent 2") {}
    client.kill().await;
    let boots: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("outbox")).unwrap()).unwrap();
    let made = boots[BOOT]["next"].as_u64().unwrap() - 1;
    let next = "fedcba9876543210";
    Client::start(folder, &device, &["--boot", next, "--batches", "2"]).finish().await;
    let past = moments(&mut readings, BOOT, made).await;
    let present = moments(&mut readings, next, 2).await;
    assert!(past.values().chain(present.values()).all(|times| *times == 1), "{past:?} {present:?}");
}

#[tokio::test]
async fn a_client_gives_a_batch_up_that_is_refused_three_times_and_delivers_the_rest() {
    let clinic = clinic().await;
    let device = clinic.enrol_link("d").await;
    let mut subscriber = clinic.subscribe(&["vitalwire/v1/d/event", "vitalwire/v1/d/reading"]).await;
    let folder = clinic.folder.path();
    // What an earlier run left: the second batch has a channel that the profile lacks.
    let batches = [(1, 0), (2, 9), (3, 0)].map(|(sequence, index)| {
        let message = batch_of(sequence, 1, &[(index, 50_000, &[36_600])], None);
        let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
        (sequence.to_string(), hex.into())
    });
    let batches: serde_json::Map<String, serde_json::Value> = batches.into_iter().collect();
    let outbox = serde_json::json!({ BOOT: { "next": 4, "time_ms": 1, "batches": batches } });
    std::fs::write(folder.join("outbox"), outbox.to_string()).unwrap();
    let said = Client::start(folder, &device, &["--boot", BOOT, "--batches", "3"]).finish().await;
    let refusals: Vec<_> = said.iter().filter(|line| line.starts_with("refused")).collect();
    assert_eq!(
        refusals,
        ["refused 2, 1 times, code 3", "refused 2, 2 times, code 3", "refused 2, 3 times, code 3"]
    );
    // Where a connection ends while it is sending, it may not learn why, and tries once more.
    assert!(said.iter().filter(|line| *line == "sent 2 again").count() >= 3, "{said:?}");
    assert_eq!(said.last().unwrap(), "acknowledged 3");
    let (mut is_told, mut taken) = (false, Vec::new());
    while !is_told || taken.len() < 2 {
        let (topic, payload) = subscriber.next().await;
        let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
        is_told |= payload["detail"].as_str().is_some_and(|detail| detail.contains("(code 6)"));
        if topic.ends_with("/reading") {
            taken.push(payload["sequence"].as_u64().unwrap());
        }
    }
    assert_eq!(taken, [1, 3]);
}
