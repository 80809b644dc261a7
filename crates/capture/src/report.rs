//! What was found, for people and machines. It never holds a key, a value or a byte of the capture.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::evidence::{Evidence, Findings, Found, Protocol};
use crate::flow::Flow;
use crate::needle::{NeedleKind, Search, Searched};
use crate::suite;

/// What a flow, or all of them, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It carried nothing that could be judged.
    Empty,
    /// It was encrypted, and nothing of what was searched for was found.
    Encrypted,
    /// Nothing was found, but that it was encrypted, and all of it seen, is not shown.
    Unproven,
    /// Something was readable, or blocks repeat.
    Found,
}

/// Nanoseconds since 1970; RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(
            &humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(self.0)),
            f,
        )
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All that a capture showed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// That of the worst flow; unproven as well when packets could not be read or nothing was encrypted.
    pub verdict: Verdict,
    /// Packets that were read.
    pub packets: u64,
    /// The first packet's time; absent without packets.
    pub from: Option<Time>,
    /// The last packet's time.
    pub to: Option<Time>,
    /// Connections, in the order of their beginning.
    pub flows: Vec<FlowReport>,
    /// What is no connection.
    pub others: OtherPackets,
    /// What was searched for.
    pub searched: Searched,
    /// Hits beyond those of which the place was kept.
    pub more_findings: u64,
}

/// What is no connection of TCP and no datagram of UDP, or was left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OtherPackets {
    /// Neither TCP nor UDP: searched, and no more.
    pub other: u64,
    /// Fragments of IP, which are not put together: searched, and no more.
    pub fragments: u64,
    /// Damaged, or cut short by the capture: searched, and no more.
    pub unreadable: u64,
    /// At other ports than those that were asked for: not looked at.
    pub left_out: u64,
    /// What was found in the first three.
    pub findings: Vec<Finding>,
}

/// What a connection showed.
#[derive(Clone, Debug, Serialize)]
pub struct FlowReport {
    /// Its number, from 1.
    pub number: u32,
    /// Who opened it.
    pub client: SocketAddr,
    /// Whom it was opened to.
    pub server: SocketAddr,
    /// What it spoke, such as `TLS` or `MQTT`.
    pub protocol: String,
    /// What was agreed, if it is TLS and the capture has its handshake.
    pub tls: Option<TlsReport>,
    /// The first packet's time.
    pub from: Time,
    /// The last packet's time.
    pub to: Time,
    /// Bytes to the server that were captured.
    pub bytes_to_server: u64,
    /// Bytes from the server that were captured.
    pub bytes_from_server: u64,
    /// Bytes that were sent and are not in the capture.
    pub bytes_missing: u64,
    /// Messages of MQTT in the clear.
    pub mqtt_messages: u64,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, if not simply encrypted.
    pub reasons: Vec<ReasonReport>,
    /// What was found in it.
    pub findings: Vec<Finding>,
    /// Blocks of ciphertext that had been there before.
    pub repeated_blocks: u64,
    /// The first few of them.
    pub repeats: Vec<RepeatReport>,
}

/// What client and server agreed.
#[derive(Clone, Debug, Serialize)]
pub struct TlsReport {
    /// Such as `TLS 1.3`.
    pub version: String,
    /// The cipher suite's name, or its number.
    pub suite: String,
    /// A pre-shared key was agreed.
    pub pre_shared_key: bool,
    /// The keys also come from a fresh (EC)DHE exchange; always told in TLS 1.3 only.
    pub key_share: bool,
}

/// Why a flow is not simply encrypted.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonReport {
    /// For machines.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// A name, key or word that lay open.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: NeedleKind,
    /// Which one; never a key itself.
    pub what: String,
    /// How often.
    pub times: u64,
    /// Towards the server.
    pub to_server: bool,
    /// The first one's place among the direction's bytes, from 0.
    pub at: u64,
    /// When the first was captured.
    pub time: Time,
}

/// A block of ciphertext that had been there before.
#[derive(Clone, Debug, Serialize)]
pub struct RepeatReport {
    /// Towards the server.
    pub to_server: bool,
    /// Its place among the direction's bytes.
    pub at: u64,
    /// When it was captured.
    pub time: Time,
    /// The number of the flow in which it was before.
    pub before_flow: u32,
    /// Its place there.
    pub before_at: u64,
}

impl FlowReport {
    pub(crate) fn new(flow: &Flow, number: u32, findings: Vec<Finding>) -> Self {
        let evidence = &flow.evidence;
        let protocol = flow.protocol();
        let (bytes_to_server, bytes_from_server) = flow.lens();
        let reasons = evidence.reasons().iter();
        Self {
            number,
            client: flow.client,
            server: flow.server,
            protocol: protocol.map_or_else(|| "no data".to_owned(), |protocol| protocol.to_string()),
            tls: evidence.server_hello.filter(|hello| !hello.is_retry).map(|hello| TlsReport {
                version: suite::version_name(hello.version),
                suite: suite::name(hello.suite),
                pre_shared_key: hello.has_psk || suite::name(hello.suite).contains("_PSK_"),
                key_share: hello.has_key_share,
            }),
            from: Time(flow.from_ns),
            to: Time(flow.to_ns),
            bytes_to_server,
            bytes_from_server,
            bytes_missing: evidence.missing_len,
            mqtt_messages: evidence.mqtt_messages,
            verdict: verdict(evidence, protocol, !findings.is_empty()),
            reasons: reasons
                .map(|reason| ReasonReport { kind: reason.kind(), text: reason.to_string() })
                .collect(),
            findings,
            repeated_blocks: evidence.repeats,
            repeats: evidence.repeats_shown.iter().map(RepeatReport::from).collect(),
        }
    }
}

impl From<&crate::evidence::Repeat> for RepeatReport {
    fn from(repeat: &crate::evidence::Repeat) -> Self {
        Self {
            to_server: repeat.to_server,
            at: repeat.at,
            time: Time(repeat.time_ns),
            before_flow: repeat.before.flow + 1,
            before_at: repeat.before.at,
        }
    }
}

fn verdict(evidence: &Evidence, protocol: Option<Protocol>, has_findings: bool) -> Verdict {
    let is_exposed = evidence.reasons().iter().any(|reason| reason.is_exposure());
    if has_findings || is_exposed || evidence.repeats > 0 {
        return Verdict::Found;
    }
    if !evidence.reasons().is_empty() || evidence.missing_len > 0 {
        return Verdict::Unproven;
    }
    match protocol {
        Some(Protocol::Tls | Protocol::Frames) if evidence.encrypted_len > 0 => Verdict::Encrypted,
        _ => Verdict::Empty,
    }
}

/// What was found, by flow.
pub(crate) fn findings_by_flow(findings: &Findings, search: &Search) -> BTreeMap<u32, Vec<Finding>> {
    let mut by_flow: BTreeMap<u32, Vec<Finding>> = BTreeMap::new();
    for (place, Found { times, at, time_ns }) in &findings.found {
        let (kind, what) = search.label(place.needle);
        let (to_server, time) = (place.to_server, Time(*time_ns));
        let finding = Finding { kind, what, times: *times, to_server, at: *at, time };
        by_flow.entry(place.flow).or_default().push(finding);
    }
    by_flow
}

/// The verdict on all flows together.
pub(crate) fn verdict_of_all(flows: &[FlowReport], others: &OtherPackets, more_findings: u64) -> Verdict {
    let worst = flows.iter().map(|flow| flow.verdict).max().unwrap_or(Verdict::Empty);
    if !others.findings.is_empty() || more_findings > 0 || worst == Verdict::Found {
        return Verdict::Found;
    }
    let is_whole = others.fragments == 0 && others.unreadable == 0;
    if is_whole && worst == Verdict::Encrypted { Verdict::Encrypted } else { Verdict::Unproven }
}
