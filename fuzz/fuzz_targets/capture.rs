//! Captures: no file panics, and how a connection was cut into segments changes nothing in what is said of it.
//!
//! An input is `selector rest`. With an even selector the rest is a file; else it is the segments of a connection, each behind
//! a byte whose lowest seven bits are its length and whose highest says that it goes to the server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_capture::{Needles, Report, Verdict, Verifier};

fuzz_target!(|data: &[u8]| {
    let Some((selector, rest)) = data.split_first() else { return };
    if selector & 1 == 0 {
        if let Some(report) = verify(rest) {
            check(&report, rest.len());
        }
        return;
    }
    let segments = segments(rest);
    let mut joined: Vec<(bool, Vec<u8>)> = Vec::new();
    for (to_server, payload) in &segments {
        match joined.last_mut() {
            Some((last, run)) if last == to_server => run.extend(payload),
            _ => joined.push((*to_server, payload.clone())),
        }
    }
    let [apart, joined] = [segments, joined].map(|segments| {
        let file = pcap(&segments);
        let report = verify(&file).expect("a capture of whole packets is read");
        check(&report, file.len());
        report
    });
    assert_eq!(format!("{:?}", apart.flows), format!("{:?}", joined.flows));
    assert_eq!(apart.verdict, joined.verdict);
});

fn verify(file: &[u8]) -> Option<Report> {
    let mut needles = Needles::general();
    needles.name("device", "bed_07");
    needles.link_id("bed_07", b"00112233445566778899aabbccddeeff");
    needles.key("a key", b"0123456789abcdef");
    let mut verifier = Verifier::new(needles, &[]).expect("there are few needles");
    match verifier.read(file, |_| {}) {
        Ok(()) => Some(verifier.finish()),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // What was read before is told.
            check(&verifier.finish(), file.len());
            None
        }
    }
}

fn check(report: &Report, len: usize) {
    let bytes: u64 = report.flows.iter().map(|flow| flow.bytes_to_server + flow.bytes_from_server).sum();
    assert!(bytes <= len as u64, "{bytes} bytes out of {len}");
    for flow in &report.flows {
        match flow.verdict {
            Verdict::Encrypted => {
                assert!(flow.reasons.is_empty() && flow.findings.is_empty() && flow.repeated_blocks == 0);
                assert!(flow.bytes_missing == 0 && (flow.tls.is_some() || flow.protocol == "AES-CBC frames"));
            }
            Verdict::Found => assert_ne!(report.verdict, Verdict::Encrypted),
            Verdict::Unproven | Verdict::Empty => {}
        }
    }
}

fn segments(mut rest: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let mut segments = Vec::new();
    while let Some((head, after)) = rest.split_first() {
        let (payload, after) = after.split_at(after.len().min(usize::from(head & 0x7f)));
        if !payload.is_empty() {
            segments.push((head & 0x80 != 0, payload.to_vec()));
        }
        rest = after;
    }
    segments
}

/// A capture of raw IP, all at the same moment.
fn pcap(segments: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x65\0\0\0".to_vec();
    let mut add = |to_server: bool, sequence: u32, flags: u8, payload: &[u8]| {
        let ends = if to_server { [1_u8, 2] } else { [2, 1] };
        let ports = ends.map(|end| if end == 1 { 40_000_u16 } else { 9_998 });
        let len = u16::try_from(40 + payload.len()).expect("an input has a few KiB at most");
        let mut packet = vec![0x45, 0];
        packet.extend(len.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, ends[0], 10, 0, 0, ends[1]]);
        packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        let len = u32::from(len).to_le_bytes();
        file.extend([[0; 4], [0; 4], len, len].concat());
        file.extend(packet);
    };
    add(true, 0, 2, b"");
    add(false, 0, 18, b"");
    let mut next = [1_u32; 2];
    for (to_server, payload) in segments {
        let next = &mut next[usize::from(*to_server)];
        add(*to_server, *next, 16, payload);
        *next += u32::try_from(payload.len()).expect("an input has a few KiB at most");
    }
    file
}
