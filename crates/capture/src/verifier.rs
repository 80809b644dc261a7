//! Reads captures packet by packet and gathers what they show.

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;

use crate::blocks::Blocks;
use crate::error::{CaptureError, NeedleError};
use crate::evidence::Findings;
use crate::flow::{Flow, Shared, client_first};
use crate::limits::FLOWS_MAX;
use crate::needle::{Needles, Search};
use crate::packet::{Ends, Packet, Segment, dissect};
use crate::record::{Record, Records};
use crate::report::{FlowReport, OtherPackets, Report, Time, findings_by_flow, verdict_of_all};
use crate::tap::Tap;

/// Packets between two calls of `progress`.
const PROGRESS_PACKETS: u64 = 4_096;
/// The number under which findings in packets of no flow are kept.
const NO_FLOW: u32 = u32::MAX;

/// Both ends of a connection in a fixed order, and whether it is UDP.
type Key = (SocketAddr, SocketAddr, bool);

/// Reads captures one after the other as if they were one: a connection may go on in the next.
pub struct Verifier {
    search: Search,
    /// The ports that are looked at; none for all.
    ports: Vec<u16>,
    blocks: Blocks,
    findings: Findings,
    flows: Vec<Flow>,
    newest: HashMap<Key, u32>,
    packets: u64,
    times_ns: Option<(u64, u64)>,
    others: OtherPackets,
}

impl Verifier {
    /// Searches for `needles` in what goes from or to `ports`, or everywhere when there are none.
    ///
    /// # Errors
    /// There are too many needles.
    pub fn new(needles: Needles, ports: &[u16]) -> Result<Self, NeedleError> {
        Ok(Self {
            search: needles.build()?,
            ports: ports.to_vec(),
            blocks: Blocks::default(),
            findings: Findings::default(),
            flows: Vec::new(),
            newest: HashMap::new(),
            packets: 0,
            times_ns: None,
            others: OtherPackets::default(),
        })
    }

    /// Reads a pcap or pcapng file to its end. `progress` is called now and then with the bytes that are behind.
    ///
    /// # Errors
    /// When the file cannot be read to its end. What was read before stays part of the report.
    pub fn read(&mut self, file: impl Read, mut progress: impl FnMut(u64)) -> Result<(), CaptureError> {
        let mut records = Records::open(file)?;
        while let Some(record) = records.next()? {
            self.take(&record)?;
            if self.packets.is_multiple_of(PROGRESS_PACKETS) {
                progress(records.position());
            }
        }
        progress(records.position());
        Ok(())
    }

    /// What all files together showed.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let Self { search, blocks, findings, flows, .. } = &mut self;
        for flow in flows {
            flow.finish(&mut Shared { search, blocks, findings });
        }
        let mut by_flow = findings_by_flow(&self.findings, &self.search);
        self.others.findings = by_flow.remove(&NO_FLOW).unwrap_or_default();
        let flows: Vec<_> = self
            .flows
            .iter()
            .zip(0..)
            .map(|(flow, index)| FlowReport::new(flow, index + 1, by_flow.remove(&index).unwrap_or_default()))
            .collect();
        Report {
            verdict: verdict_of_all(&flows, &self.others, self.findings.more),
            packets: self.packets,
            from: self.times_ns.map(|(from, _)| Time(from)),
            to: self.times_ns.map(|(_, to)| Time(to)),
            flows,
            others: self.others,
            searched: self.search.searched(),
            more_findings: self.findings.more,
        }
    }

    fn take(&mut self, record: &Record<'_>) -> Result<(), CaptureError> {
        let time_ns = record.time_ns;
        self.packets += 1;
        self.times_ns = match self.times_ns {
            Some((from, to)) => Some((from.min(time_ns), to.max(time_ns))),
            None => Some((time_ns, time_ns)),
        };
        match dissect(record.link_type, record.data, record.wire_len)? {
            Packet::Tcp(segment) if self.is_wanted(segment.ends) => self.take_segment(&segment, time_ns)?,
            Packet::Udp(datagram) if self.is_wanted(datagram.ends) => {
                let number = self.flow_of(datagram.ends, None, time_ns)?;
                if datagram.is_cut {
                    self.others.unreadable += 1;
                }
                let Self { search, blocks, findings, flows, .. } = self;
                if let Some(flow) = usize::try_from(number).ok().and_then(|index| flows.get_mut(index)) {
                    flow.take_datagram(&datagram, time_ns, &mut Shared { search, blocks, findings });
                }
            }
            Packet::Tcp(_) | Packet::Udp(_) => self.others.left_out += 1,
            Packet::Other(bytes) => {
                self.others.other += 1;
                self.search_only(bytes, time_ns);
            }
            Packet::Fragment(bytes) => {
                self.others.fragments += 1;
                self.search_only(bytes, time_ns);
            }
            Packet::Unreadable(bytes) => {
                self.others.unreadable += 1;
                self.search_only(bytes, time_ns);
            }
        }
        Ok(())
    }

    fn take_segment(&mut self, segment: &Segment<'_>, time_ns: u64) -> Result<(), CaptureError> {
        let number = self.flow_of(segment.ends, Some(segment), time_ns)?;
        let Self { search, blocks, findings, flows, .. } = self;
        if let Some(flow) = usize::try_from(number).ok().and_then(|index| flows.get_mut(index)) {
            flow.take_segment(segment, time_ns, &mut Shared { search, blocks, findings });
        }
        Ok(())
    }

    fn is_wanted(&self, ends: Ends) -> bool {
        let is_named = |end: SocketAddr| self.ports.contains(&end.port());
        self.ports.is_empty() || is_named(ends.source) || is_named(ends.destination)
    }

    /// The flow between these ends, which may be a new one.
    fn flow_of(
        &mut self,
        ends: Ends,
        segment: Option<&Segment<'_>>,
        time_ns: u64,
    ) -> Result<u32, CaptureError> {
        let Ends { source, destination } = ends;
        let key = (source.min(destination), source.max(destination), segment.is_none());
        let opening = segment.filter(|segment| segment.is_syn && !segment.has_ack);
        let known = self.newest.get(&key).copied();
        let flow = known.and_then(|number| self.flows.get(usize::try_from(number).ok()?));
        match (flow, opening) {
            (Some(flow), Some(opening)) if flow.is_another(opening.sequence) => {}
            (Some(_), _) => return Ok(known.unwrap_or_default()),
            (None, _) => {}
        }
        if self.flows.len() == FLOWS_MAX {
            return Err(CaptureError::TooManyFlows);
        }
        let (client, server) = match segment {
            Some(segment) if segment.is_syn && segment.has_ack => (destination, source),
            Some(segment) if segment.is_syn => (source, destination),
            _ => client_first(ends, &self.ports),
        };
        let number = u32::try_from(self.flows.len()).expect("there are fewer than FLOWS_MAX");
        self.flows.push(Flow::new(number, client, server, segment.is_none(), time_ns));
        self.newest.insert(key, number);
        Ok(number)
    }

    fn search_only(&mut self, bytes: &[u8], time_ns: u64) {
        let (mut evidence, mut places) = Default::default();
        Tap {
            search: &self.search,
            blocks: &mut self.blocks,
            findings: &mut self.findings,
            evidence: &mut evidence,
            places: &mut places,
            flow: NO_FLOW,
            to_server: false,
            time_ns,
        }
        .plain(0, bytes);
    }
}
