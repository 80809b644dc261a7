//! The modem itself: one loop that hears the device, the real sockets and the script, one after another, and answers.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use super::command::Line;
use super::links::{Link, News, Task};
use super::{AccessPoint, Change, Fault, LINKS_MAX, Status, Surroundings};

/// News that wait, at most; then the tasks do.
const NEWS_MAX: usize = 4;
/// Bytes of a command, at most (Espressif, "AT Command Types").
const LINE_LEN_MAX: usize = 256;
/// What a modem says before its UART has the right speed, as one hears it.
const NOISE: &[u8] = b"\x00\xfe~?4\xe5{\x83\xc4\n\x8c>\xff\xd4,$\x1c\xef";

/// The modem. See the module above.
pub struct Modem {
    pub(super) surroundings: Surroundings,
    changes: mpsc::Receiver<Change>,
    status: watch::Sender<Status>,
    faults: VecDeque<(String, Fault)>,
    /// The fault of the command under way.
    pub(super) fault: Option<Fault>,
    pub(super) news: mpsc::Sender<News>,
    heard: mpsc::Receiver<News>,
    /// What is to be said next.
    out: Vec<u8>,
    line: Vec<u8>,
    lose_len: usize,
    piece_len: usize,
    pub(super) is: Is,
    pub(super) counts: Counts,
}

/// What comes next.
enum Heard {
    Device(io::Result<usize>),
    News(News),
}

/// What a restart ends.
#[derive(Default)]
pub(super) struct Is {
    pub(super) silent_echo: bool,
    pub(super) stores_nothing: bool,
    pub(super) several_links: bool,
    pub(super) mode: u8,
    pub(super) access_point: Option<AccessPoint>,
    pub(super) joined: Option<Vec<u8>>,
    pub(super) links: [Option<Link>; LINKS_MAX],
    pub(super) server: Option<Server>,
    pub(super) sending: Option<Sending>,
    pub(super) working: Option<Working>,
    /// Links that are being closed.
    pub(super) closing: Vec<Task>,
}

pub(super) struct Server {
    pub(super) port: u16,
    pub(super) really: SocketAddr,
    /// Held, not used: it ends with the server.
    pub(super) _task: Task,
}

/// `AT+CIPSEND` waits for data.
pub(super) struct Sending {
    pub(super) link: usize,
    pub(super) len: usize,
    pub(super) data: Vec<u8>,
    pub(super) fault: Option<Fault>,
}

/// A command that takes its time.
pub(super) enum Working {
    /// Its task brings the end.
    On { doing: Doing, _task: Task },
    /// A script says when it goes on.
    Held(Doing),
}

#[derive(Clone, Debug)]
pub(super) enum Doing {
    Join { name: Vec<u8>, password: Vec<u8> },
    Scan,
    Connect { link: usize, host: String, port: u16 },
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) starts: u32,
    pub(super) links: u64,
    pub(super) sent_len: u64,
    pub(super) received_len: u64,
    pub(super) stored: u64,
    commands: u64,
}

impl Modem {
    pub(super) fn new(
        surroundings: Surroundings,
        changes: mpsc::Receiver<Change>,
        status: watch::Sender<Status>,
    ) -> Self {
        let (news, heard) = mpsc::channel(NEWS_MAX);
        Self {
            surroundings,
            changes,
            status,
            faults: VecDeque::new(),
            fault: None,
            news,
            heard,
            out: Vec::new(),
            line: Vec::new(),
            lose_len: 0,
            piece_len: 0,
            is: Is::default(),
            counts: Counts::default(),
        }
    }

    /// Runs until the line is closed. If it is dropped, all of its connections are cut.
    ///
    /// # Errors
    /// The line failed.
    pub async fn run(mut self, line: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut from_device, mut to_device) = tokio::io::split(line);
        let mut bytes = [0; 512];
        let mut controlled = true;
        self.boot();
        loop {
            self.show();
            self.write(&mut to_device).await?;
            let either = async {
                tokio::select! {
                    read = from_device.read(&mut bytes) => Heard::Device(read),
                    Some(news) = self.heard.recv() => Heard::News(news),
                }
            };
            // The script first: what it says before a command is sent holds for that command.
            tokio::select! {
                biased;
                change = self.changes.recv(), if controlled => match change {
                    Some(change) => self.change(change),
                    None => controlled = false,
                },
                heard = either => match heard {
                    Heard::Device(read) => match read? {
                        0 => return Ok(()),
                        len => self.hear(bytes.get(..len).unwrap_or_default()).await,
                    },
                    Heard::News(news) => self.learn(news),
                },
            }
        }
    }

    async fn write(&mut self, to_device: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        let lost = out.len().min(self.lose_len);
        self.lose_len -= lost;
        out.drain(..lost);
        let piece_len = if self.piece_len == 0 { out.len().max(1) } else { self.piece_len };
        for piece in out.chunks(piece_len) {
            to_device.write_all(piece).await?;
            to_device.flush().await?;
            if self.piece_len > 0 {
                // So that the device hears the piece alone.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Says what is seen from outside.
    fn show(&self) {
        let is = &self.is;
        let shown = Status {
            starts: self.counts.starts,
            mode: is.mode,
            access_point: is.access_point.clone().filter(|_| is.mode & 2 != 0),
            joined: is.joined.clone(),
            tcp: is.server.as_ref().map(|server| (server.port, server.really)),
            udp: is.links.iter().flatten().filter_map(Link::udp_port).collect(),
            links: is.links.iter().flatten().count(),
            sent_len: self.counts.sent_len,
            received_len: self.counts.received_len,
            stored: self.counts.stored,
            commands: self.counts.commands,
        };
        self.status.send_if_modified(|status| {
            let changed = *status != shown;
            *status = shown;
            changed
        });
    }

    fn boot(&mut self) {
        self.is = Is { mode: 1, ..Is::default() };
        self.line.clear();
        self.fault = None;
        self.counts.starts += 1;
        self.out.extend_from_slice(NOISE);
        self.say("\r\nready\r\n");
    }

    pub(super) fn restart(&mut self) {
        self.boot();
    }

    pub(super) fn say(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn say_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn ok(&mut self) {
        self.say("\r\nOK\r\n");
    }

    pub(super) fn error(&mut self) {
        self.say("\r\nERROR\r\n");
    }

    async fn hear(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Some(sending) = &mut self.is.sending {
                let (taken, rest) = bytes.split_at(bytes.len().min(sending.len - sending.data.len()));
                sending.data.extend_from_slice(taken);
                bytes = rest;
                if sending.data.len() == sending.len {
                    self.send().await;
                }
                continue;
            }
            bytes = rest;
            if byte != b'\n' {
                // Of a longer one the end is enough to refuse it.
                self.line.truncate(LINE_LEN_MAX);
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.take_line(line.trim_ascii_end()).await;
        }
    }

    async fn take_line(&mut self, line: &[u8]) {
        if !self.is.silent_echo {
            self.say_bytes(line);
            self.say("\r\r\n");
        }
        if line.is_empty() {
            return;
        }
        self.counts.commands += 1;
        if self.is.working.is_some() {
            return self.say("busy p...\r\n");
        }
        let at = self.faults.iter().position(|(command, _)| line.starts_with(command.as_bytes()));
        self.fault = at.and_then(|at| self.faults.remove(at)).map(|(_, fault)| fault);
        match self.fault {
            Some(Fault::Silent) => {}
            Some(Fault::Busy) => self.say("busy p...\r\n"),
            Some(Fault::Refuse) => self.error(),
            Some(Fault::Restart) => self.restart(),
            _ if line.len() > LINE_LEN_MAX => self.error(),
            _ => self.execute(&Line::parse(line)).await,
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Networks(networks) => {
                self.surroundings.networks = networks;
                self.look_for_network();
            }
            Change::Restart => self.restart(),
            Change::Say(bytes) => self.say_bytes(&bytes),
            Change::Lose(len) => self.lose_len += len,
            Change::Fault(command, fault) => self.faults.push_back((command, fault)),
            Change::Pieces(len) => self.piece_len = len,
            Change::Release => {
                if let Some(Working::Held(doing)) = self.is.working.take() {
                    self.work(doing);
                }
            }
        }
    }
}
