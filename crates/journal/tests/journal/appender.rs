//! A second process that appends without end and tells on its standard output what was acknowledged, to be killed at any
//! moment; and the check of what it left behind.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use vitalwire_journal::{Entry, Journal, Outcome};

use crate::fixture::{PATIENCE, body, device, entry, everything, limits, path_in};

const FOLDER_VARIABLE: &str = "VITALWIRE_JOURNAL_APPENDER_FOLDER";
const DEVICES: u64 = 4;
/// How many appends are under way at once.
const WINDOW: usize = 256;

/// Device number, sequence, position (0 for a duplicate).
pub(crate) type Ack = (u64, u64, u64);

pub(crate) struct Appender {
    child: Child,
    acks: mpsc::Receiver<Ack>,
}

impl Appender {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "appender::appends_until_it_is_killed", "--nocapture"])
            .env(FOLDER_VARIABLE, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let (sender, acks) = mpsc::channel();
        std::thread::spawn(move || {
            // The last line may be cut: it is then not counted as told.
            for line in lines.split(b'\n').map_while(Result::ok) {
                if let Some(ack) = parse(&line) {
                    let _ = sender.send(ack);
                }
            }
        });
        Self { child, acks }
    }

    /// What was acknowledged by the time so long after the first acknowledgement.
    pub(crate) fn acknowledged_for(&self, time: Duration) -> Vec<Ack> {
        let first = self.acks.recv_timeout(PATIENCE).expect("the process acknowledges nothing");
        let (mut acks, end) = (vec![first], Instant::now() + time);
        while let Ok(ack) = self.acks.recv_timeout(end.saturating_duration_since(Instant::now())) {
            acks.push(ack);
        }
        acks
    }

    /// Kills it, and gives what it had still told.
    pub(crate) fn kill(mut self) -> Vec<Ack> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.acks.iter().collect()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Appender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &[u8]) -> Option<Ack> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("ack ")?.strip_suffix('.')?;
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

fn numbered(number: u64, sequence: u64) -> Entry {
    let name = format!("dev-{number}");
    let copies = usize::try_from(sequence % 10).unwrap() + 1;
    Entry { body: body(&name, 1, sequence).repeat(copies).into(), ..entry(&name, 1, sequence) }
}

/// Not a test by itself: the body of the second process.
#[test]
fn appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(append_without_end(Path::new(&folder)));
}

async fn append_without_end(folder: &Path) {
    let journal = Journal::open(&path_in(folder), &limits()).unwrap();
    let reader = journal.reader("publisher").await.unwrap();
    let mut next = Vec::new();
    for number in 0..DEVICES {
        let last = journal.last_sequence(&device(&format!("dev-{number}")), 1).await.unwrap();
        // As a device that did not hear of the last acknowledgements.
        next.push(last.unwrap_or(0).saturating_sub(3) + 1);
    }
    let mut waiting = VecDeque::new();
    for number in (0..DEVICES).cycle() {
        let at = usize::try_from(number).unwrap();
        waiting.push_back((number, next[at], journal.append(numbered(number, next[at])).await));
        next[at] += 1;
        if waiting.len() >= WINDOW {
            let (number, sequence, receipt) = waiting.pop_front().unwrap();
            let position = match receipt.await {
                Outcome::Committed { position } => position,
                Outcome::Duplicate => 0,
                // A disk without power: nothing is acknowledged any more.
                Outcome::Refused(_) => continue,
            };
            let mut out = std::io::stdout().lock();
            writeln!(out, "ack {number} {sequence} {position}.").unwrap();
            out.flush().unwrap();
            reader.advance(position);
        }
    }
}

/// What is found over many rounds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) acknowledged: usize,
    pub(crate) stored: usize,
    pub(crate) lost: usize,
}

/// Reads the journal of the folder as a start after the accident would, and checks all that was ever acknowledged.
pub(crate) fn check(folder: &Path, acks: &[Ack]) -> Result<Findings, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(&path_in(folder), &limits()).map_err(|error| error.to_string())?;
        let reader = journal.reader("publisher").await.map_err(|e| e.to_string())?;
        assert!(reader.position() <= journal.head());
        let mut positions = HashMap::new();
        let mut before = 0;
        for stored in everything(&journal).await {
            assert!(stored.position > before, "positions are not strictly increasing");
            before = stored.position;
            let number: u64 = stored.entry.device.as_str().strip_prefix("dev-").unwrap().parse().unwrap();
            let sequence = stored.entry.sequence;
            assert_eq!(stored.entry, numbered(number, sequence), "what is stored is not what was appended");
            let twice = positions.insert((number, sequence), stored.position);
            assert_eq!(twice, None, "device {number} sequence {sequence} is stored twice");
        }
        for number in 0..DEVICES {
            let gaps = journal.gaps(&device(&format!("dev-{number}")), 10).await.unwrap();
            assert_eq!(gaps, [], "the devices left none");
        }
        journal.close().await;
        let is_lost = |ack: &&Ack| match positions.get(&(ack.0, ack.1)) {
            Some(position) => ack.2 != 0 && ack.2 != *position,
            None => true,
        };
        let lost = acks.iter().filter(is_lost).count();
        Ok(Findings { acknowledged: acks.len(), stored: positions.len(), lost })
    })
}

/// The number of rounds: few in the ordinary run, many where the variable says so.
pub(crate) fn rounds(variable: &str, ordinary: u32) -> u32 {
    std::env::var(variable).map_or(ordinary, |text| text.parse().expect("a number of rounds"))
}

/// From the variable `SEED`, or random; printed.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    println!("SEED={seed}");
    seed
}
