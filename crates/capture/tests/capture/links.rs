//! What packets begin with.

use vitalwire_capture::{CaptureError, Needles, Report, Verdict};

use crate::craft::{CLIENT, SERVER, SYN, Talk, ethernet, ipv4, pcap, secure_link, tcp, try_verify, verify};

/// The session with another header in front of each packet of IP.
fn behind(link_type: u32, header: &[u8]) -> Report {
    let packets: Vec<_> =
        secure_link().packets.iter().map(|packet| [header, &packet[14..]].concat()).collect();
    verify(&pcap(link_type, &packets))
}

#[test]
fn ethernet_linux_cooked_raw_and_loopback_are_read() {
    let tagged = [&[2; 12][..], &[0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 7, 0x08, 0x00]].concat();
    let cooked = [&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0][..], &[0x08, 0x00]].concat();
    let cooked_2 = [&[0x08, 0x00, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6][..], &[2; 8]].concat();
    for (link_type, header) in [
        (1, &[&[2; 12][..], &[0x08, 0x00]].concat()[..]),
        (1, &tagged),
        (113, &cooked),
        (276, &cooked_2),
        (0, &[2, 0, 0, 0]),
        (0, &[0, 0, 0, 2]),
        (108, &[0, 0, 0, 2]),
        (12, &[]),
        (101, &[]),
        (228, &[]),
    ] {
        let report = behind(link_type, header);
        assert_eq!((report.verdict, report.flows.len()), (Verdict::Encrypted, 1), "link type {link_type}");
    }
}

#[test]
fn another_link_type_is_an_error_that_says_what_to_do() {
    let error = try_verify(Needles::general(), &pcap(127, &secure_link().packets)).unwrap_err();
    assert!(matches!(error, CaptureError::LinkType { number: 127 }));
    assert!(error.to_string().contains("-i any"));
}

/// A packet of IPv6 with a segment behind these extension headers.
fn ipv6(next: u8, extensions: &[u8], segment: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(u16::try_from(extensions.len() + segment.len()).unwrap().to_be_bytes());
    bytes.extend([next, 64]);
    bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    bytes.extend(extensions);
    bytes.extend(segment);
    ethernet(0x86dd, &bytes)
}

#[test]
fn ipv6_is_read_behind_its_extension_headers() {
    let segment = tcp(40_000, 1883, 5, SYN, b"");
    let hop_by_hop = [6, 0, 1, 4, 0, 0, 0, 0];
    let routing_and_options = [&[60, 0, 0, 0, 0, 0, 0, 0][..], &[6, 0, 1, 4, 0, 0, 0, 0]].concat();
    let whole_fragment = [6, 0, 0, 0, 0, 0, 0, 1];
    let authentication = [6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    for (next, extensions) in [
        (6, &[][..]),
        (0, &hop_by_hop),
        (43, &routing_and_options),
        (44, &whole_fragment),
        (51, &authentication),
    ] {
        let report = verify(&pcap(1, &[ipv6(next, extensions, &segment)]));
        let flow = &report.flows[0];
        assert_eq!(
            (flow.client.to_string(), flow.server.to_string()),
            ("[fd00::1]:40000".into(), "[fd00::9]:1883".into())
        );
    }
}

#[test]
fn fragments_are_searched_counted_and_keep_the_verdict_open() {
    let mut first = ipv4(CLIENT.0, SERVER.0, 6, &tcp(1, 2, 3, 0, b"harmless"));
    first[6] = 0x20; // more fragments
    let mut packets = secure_link().packets;
    packets.push(ethernet(0x0800, &first));
    let report = verify(&pcap(1, &packets));
    assert_eq!((report.verdict, report.others.fragments, report.flows.len()), (Verdict::Unproven, 1, 1));
    let mut next = ipv4(CLIENT.0, SERVER.0, 17, b"..Pulse_Signal..");
    next[7] = 1; // not the first
    packets.push(ethernet(0x0800, &next));
    packets.push(ipv6(44, &[6, 0, 0, 1, 0, 0, 0, 1], b"..."));
    let report = verify(&pcap(1, &packets));
    assert_eq!((report.verdict, report.others.fragments), (Verdict::Found, 3));
    assert_eq!(report.others.findings[0].what, "`Pulse_Signal` of a topic");
}

#[test]
fn other_packets_are_searched_and_change_no_verdict_if_nothing_is_found() {
    let mut packets = secure_link().packets;
    packets.push(ethernet(0x0806, &[0; 28]));
    packets.push(ethernet(0x0800, &ipv4(CLIENT.0, SERVER.0, 1, &[8, 0, 0, 0])));
    let report = verify(&pcap(1, &packets));
    assert_eq!((report.verdict, report.others.other), (Verdict::Encrypted, 2));
    packets.push(ethernet(0x0800, &ipv4(CLIENT.0, SERVER.0, 1, b"\x08...\"TempMcu\":\"23.7\"")));
    let report = verify(&pcap(1, &packets));
    assert_eq!((report.verdict, report.others.findings.len()), (Verdict::Found, 1));
}

#[test]
fn a_packet_cut_anywhere_is_never_taken_for_another() {
    let whole = secure_link().up(b"0123456789").packets;
    let last = whole.last().unwrap().clone();
    for len in 0..last.len() {
        let mut packets = whole[..whole.len() - 1].to_vec();
        packets.push(last[..len].to_vec());
        let report = verify(&pcap(1, &packets));
        assert_ne!(report.verdict, Verdict::Encrypted, "a packet cut after {len} bytes");
    }
}

#[test]
fn what_an_ethernet_frame_is_padded_with_is_no_data() {
    let mut talk = Talk::new();
    for packet in &mut talk.packets {
        packet.extend(b"\"Temp\":");
    }
    let report = verify(&talk.pcap());
    assert_eq!((report.flows[0].verdict, report.flows[0].bytes_to_server), (Verdict::Empty, 0));
}

#[test]
fn datagrams_are_searched_each_for_itself() {
    let datagram = |payload: &[u8]| {
        let len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
        let body = [&[0x9c, 0x40, 0, 53][..], &len, &[0, 0], payload].concat();
        ethernet(0x0800, &ipv4(CLIENT.0, SERVER.0, 17, &body))
    };
    let report = verify(&pcap(1, &[datagram(b"Pulse_"), datagram(b"Signal")]));
    assert_eq!((report.verdict, report.flows[0].protocol.as_str()), (Verdict::Unproven, "UDP"));
    let report = verify(&pcap(1, &[datagram(b"x"), datagram(b"Pulse_Signal")]));
    assert_eq!((report.verdict, report.flows[0].findings[0].at), (Verdict::Found, 1));
}
