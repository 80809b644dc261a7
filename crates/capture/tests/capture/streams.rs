//! Segments out of order, twice, cut and missing.

use vitalwire_capture::{Needles, Verdict, Verifier};

use crate::craft::{
    ACK, CLIENT, FIN, SERVER, SYN, Talk, client_hello, flow, noise, pcap, reasons, record, secure_link,
    server_hello, tls_1_3_extensions, verify,
};

/// A session of which the client's data is one run of bytes, to be cut into segments; its first byte has the number 1,001.
fn session() -> (Talk, Vec<u8>) {
    let data = [
        client_hello(b"00112233445566778899aabbccddeeff"),
        record(20, &[1]),
        record(23, &noise(5, 300)),
        record(23, &noise(6, 500)),
    ]
    .concat();
    let answer = [server_hello(0x1301, &tls_1_3_extensions()), record(23, &noise(7, 60))].concat();
    (Talk::new().down(&answer), data)
}

fn at(place: usize) -> u32 {
    1_001 + u32::try_from(place).unwrap()
}

#[test]
fn any_order_and_any_repetition_of_segments_is_the_same_stream() {
    let (talk, data) = session();
    let parts: Vec<_> = data.chunks(97).enumerate().map(|(index, part)| (index * 97, part)).collect();
    let mut expected = None;
    for step in [1, 3, 7, parts.len() - 1] {
        let mut talk = talk.clone();
        let order: Vec<_> = (0..parts.len()).map(|index| index * step % parts.len()).collect();
        assert!((0..parts.len()).all(|index| order.contains(&index)), "step {step} leaves one out");
        for index in order {
            let (place, part) = parts[index];
            talk.up_at(at(place), ACK, part);
            talk.up_at(at(place), ACK, part);
        }
        let flow = flow(&talk);
        assert_eq!((flow.verdict, flow.bytes_missing), (Verdict::Encrypted, 0), "{:?}", flow.reasons);
        let seen = (flow.bytes_to_server, flow.tls.unwrap().pre_shared_key);
        assert_eq!(*expected.get_or_insert(seen), seen);
        assert_eq!(seen.0, data.len() as u64);
    }
}

#[test]
fn every_cut_in_two_and_every_overlap_is_the_same_stream() {
    let (talk, data) = session();
    for cut in 1..data.len() {
        let mut talk = talk.clone();
        let overlap = cut.saturating_sub(40);
        talk.up_at(at(0), ACK, &data[..cut]);
        talk.up_at(at(overlap), ACK, &data[overlap..]);
        let flow = flow(&talk);
        assert_eq!(
            (flow.verdict, flow.bytes_to_server),
            (Verdict::Encrypted, data.len() as u64),
            "cut at {cut}"
        );
    }
}

#[test]
fn numbers_go_around() {
    let talk = Talk::between(CLIENT, u32::MAX - 100);
    let (_, data) = session();
    let mut talk = data.chunks(60).fold(talk, |talk, part| talk.up(part));
    talk = talk.down(&server_hello(0x1301, &tls_1_3_extensions()));
    assert_eq!((flow(&talk).verdict, flow(&talk).bytes_to_server), (Verdict::Encrypted, data.len() as u64));
}

#[test]
fn a_missing_segment_is_told_and_keeps_the_verdict_open() {
    let (talk, data) = session();
    for missing in 0..data.len() / 100 {
        let mut talk = talk.clone();
        for (index, part) in data.chunks(100).enumerate().filter(|(index, _)| *index != missing) {
            talk.up_at(at(index * 100), ACK, part);
        }
        let flow = flow(&talk);
        assert_eq!((flow.verdict, flow.bytes_missing), (Verdict::Unproven, 100), "without segment {missing}");
        assert_eq!(flow.bytes_to_server, data.len() as u64 - 100);
    }
}

#[test]
fn what_is_readable_behind_a_gap_is_found() {
    let (mut talk, data) = session();
    talk.up_at(at(0), ACK, &data);
    talk.up_at(at(data.len() + 50), ACK, b"....Pico/bed_07/Physiological_Data/Temperature 36.6");
    let flow = flow(&talk);
    assert_eq!((flow.verdict, flow.bytes_missing), (Verdict::Found, 50));
    assert!(flow.findings.iter().any(|finding| finding.at == data.len() as u64 + 50 + 16));
}

#[test]
fn what_a_snap_length_left_out_is_missing() {
    let talk = secure_link();
    let mut file = pcap(1, &talk.packets[..5]);
    let packet = &talk.packets[5];
    for number in [1_795_556_252, 0, 200, u32::try_from(packet.len()).unwrap()] {
        file.extend(number.to_le_bytes());
    }
    file.extend(&packet[..200]);
    let flow = &verify(&file).flows[0];
    assert_eq!((flow.verdict, flow.bytes_missing), (Verdict::Unproven, packet.len() as u64 - 200));
}

#[test]
fn a_capture_that_began_later_shows_no_handshake() {
    let packets = secure_link().packets;
    for first in 1..packets.len() {
        let report = verify(&pcap(1, &packets[first..]));
        assert_eq!(report.verdict, Verdict::Unproven, "from packet {first}");
    }
    let report = verify(&pcap(1, &packets[4..]));
    assert_eq!(reasons(&report.flows[0]), ["start-missing", "no-handshake"]);
    assert_eq!(report.flows[0].server.port(), SERVER.1, "the lower port serves");
}

#[test]
fn what_waits_for_a_missing_segment_is_bounded() {
    let (mut talk, data) = session();
    talk.up_at(at(0), ACK, &data[..200]);
    let part = record(23, &noise(8, 1_000));
    for index in 0..2_000 {
        talk.up_at(at(300 + index * part.len()), ACK, &part);
    }
    let flow = flow(&talk);
    assert_eq!((flow.bytes_missing, flow.bytes_to_server), (100, 200 + 2_000 * part.len() as u64));
}

#[test]
fn a_segment_that_fits_nowhere_is_counted_and_not_kept() {
    let mut talk = secure_link();
    talk.up_at(0x3000_0000, ACK, b"Pulse_Signal");
    assert_eq!((flow(&talk).verdict, reasons(&flow(&talk))), (Verdict::Unproven, vec!["stray-segments"]));
}

#[test]
fn the_same_ends_may_open_another_connection() {
    let mut packets = secure_link().packets;
    packets.extend(Talk::between(CLIENT, 77_000).up(b"GET / HTTP/1.1\r\n\r\n").packets);
    let report = verify(&pcap(1, &packets));
    let verdicts: Vec<_> = report.flows.iter().map(|flow| flow.verdict).collect();
    assert_eq!(verdicts, [Verdict::Encrypted, Verdict::Found]);
}

#[test]
fn a_connection_that_two_sniffers_saw_is_one() {
    let talk = secure_link();
    let mut verifier = Verifier::new(Needles::general(), &[]).unwrap();
    for _ in 0..2 {
        verifier.read(talk.pcap().as_slice(), |_| {}).unwrap();
    }
    let report = verifier.finish();
    assert_eq!((report.flows.len(), report.verdict), (1, Verdict::Encrypted));
    assert_eq!(report.flows[0].repeated_blocks, 0);
}

#[test]
fn connections_that_carry_nothing_are_empty() {
    let mut talk = Talk::new();
    talk.up_at(1_001, ACK | FIN, b"");
    assert_eq!(flow(&talk).verdict, Verdict::Empty);
    let mut syn_only = Talk::new();
    syn_only.packets.truncate(1);
    syn_only.up_at(1_000, SYN, b"");
    assert_eq!((flow(&syn_only).verdict, flow(&syn_only).protocol.as_str()), (Verdict::Empty, "no data"));
}

#[test]
fn only_named_ports_are_looked_at() {
    let mut verifier = Verifier::new(Needles::general(), &[9_998]).unwrap();
    let mut packets = secure_link().packets;
    let other = crate::craft::tcp(40_001, 80, 1, SYN, b"");
    packets.push(crate::craft::ethernet(0x0800, &crate::craft::ipv4(CLIENT.0, SERVER.0, 6, &other)));
    verifier.read(pcap(1, &packets).as_slice(), |_| {}).unwrap();
    let report = verifier.finish();
    assert_eq!((report.flows.len(), report.others.left_out, report.verdict), (1, 1, Verdict::Encrypted));
}
