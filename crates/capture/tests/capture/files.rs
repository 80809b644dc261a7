//! The formats of files, and files that are none.

use vitalwire_capture::{CaptureError, Needles, Verdict, Verifier};

use crate::craft::{FIRST_US, block, pcap, pcapng, secure_link, try_verify, verify};

fn error(file: &[u8]) -> CaptureError {
    try_verify(Needles::general(), file).unwrap_err()
}

#[test]
fn every_format_gives_the_same_report() {
    let talk = secure_link();
    let expected = verify(&talk.pcap());
    assert_eq!((expected.verdict, expected.packets), (Verdict::Encrypted, 7));
    assert_eq!(expected.from.unwrap().0, FIRST_US * 1_000);
    assert_eq!(expected.to.unwrap().to_string(), "2026-11-24T21:37:31.506Z");
    let expected = format!("{expected:?}");
    for big_endian in [false, true] {
        assert_eq!(format!("{:?}", verify(&pcapng(big_endian, &talk.packets))), expected);
        assert_eq!(format!("{:?}", verify(&swapped(&talk.pcap()))), expected);
    }
}

/// A pcap file in the other byte order.
fn swapped(file: &[u8]) -> Vec<u8> {
    let swap = |bytes: &[u8], len: usize| bytes[..len].iter().rev().copied().collect::<Vec<_>>();
    let mut out = swap(file, 4);
    out.extend([0, 2, 0, 4]);
    for number in file[8..24].chunks(4) {
        out.extend(swap(number, 4));
    }
    let mut rest = &file[24..];
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        for number in rest[..16].chunks(4) {
            out.extend(swap(number, 4));
        }
        out.extend(&rest[16..16 + len]);
        rest = &rest[16 + len..];
    }
    out
}

#[test]
fn times_in_nanoseconds_are_read_as_such() {
    let mut file = secure_link().pcap();
    file[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    assert_eq!(verify(&file).from.unwrap().0 % 1_000_000_000, 500_000);
}

#[test]
fn a_file_cut_at_any_byte_says_so_or_is_whole_up_to_there() {
    let packets = secure_link().packets;
    for file in [pcap(1, &packets), pcapng(false, &packets), pcapng(true, &packets)] {
        let mut whole = 0;
        for len in 1..file.len() {
            match try_verify(Needles::general(), &file[..len]) {
                Err(CaptureError::Cut { at, packets }) => {
                    assert!(at <= len as u64 && packets <= 7, "cut at {len}: {at}, {packets}");
                }
                Ok(report) => {
                    whole += 1;
                    assert!(report.packets < 7);
                }
                Err(error) => panic!("cut at {len}: {error}"),
            }
        }
        // At the end of the header, of the interface's description, and of each packet but the last.
        assert!((7..=8).contains(&whole), "{whole} cuts leave a whole file");
    }
    assert!(matches!(error(b""), CaptureError::Empty));
}

#[test]
fn what_is_no_capture_is_told_what_it_is() {
    assert!(error(&[0x1f, 0x8b, 8, 0, 0]).to_string().contains("gunzip"));
    assert!(error(&[0x28, 0xb5, 0x2f, 0xfd]).to_string().contains("unzstd"));
    assert!(error(b"GET / HTTP/1.1").to_string().contains("tcpdump -w"));
}

#[test]
fn a_length_beyond_reason_is_refused_before_it_is_read() {
    let mut file = secure_link().pcap();
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(error(&file), CaptureError::TooLong { at: 24, len: 4_294_967_311 }));
    let mut file = pcapng(false, &secure_link().packets);
    file[28 + 4..28 + 8].copy_from_slice(&0x7fff_fff0_u32.to_le_bytes());
    assert!(matches!(error(&file), CaptureError::TooLong { at: 28, .. }));
}

#[test]
fn blocks_that_contradict_themselves_are_damage() {
    let section = &pcapng(false, &[])[..28];
    let is_malformed = |blocks: &[Vec<u8>]| {
        let error = error(&[section, &blocks.concat()].concat());
        assert!(matches!(error, CaptureError::Malformed { at: 28.., .. }), "{error}");
    };
    is_malformed(&[block(6, false, &[0; 20])]); // no interface
    is_malformed(&[block(3, false, &[0; 8])]);
    is_malformed(&[block(1, false, &[0; 4])]); // an interface without a snap length
    is_malformed(&[block(2, false, &[0; 40])]); // the packet block of before 2014
    is_malformed(&[vec![6, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]]);
    let interface = block(1, false, &[1, 0, 0, 0, 0, 0, 0, 0]);
    let mut packet = [0; 20];
    packet[12] = 200; // more than the block has
    is_malformed(&[interface, block(6, false, &packet)]);
}

#[test]
fn a_simple_packet_block_has_the_time_of_the_packet_before() {
    let talk = secure_link();
    let mut file = pcapng(false, &talk.packets[..1]);
    for packet in &talk.packets[1..] {
        let len = u32::try_from(packet.len()).unwrap().to_le_bytes();
        file.extend(block(3, false, &[&len[..], packet].concat()));
    }
    let report = verify(&file);
    assert_eq!((report.verdict, report.packets), (Verdict::Encrypted, 7));
    assert_eq!(report.from, report.to);
}

#[test]
fn unknown_blocks_and_further_sections_are_stepped_over() {
    let talk = secure_link();
    let unknown = block(0x0bad_cafe, false, &[1; 40]);
    let file = [pcapng(false, &talk.packets[..3]), unknown, pcapng(true, &talk.packets[3..])].concat();
    assert_eq!(verify(&file).verdict, Verdict::Encrypted);
}

#[test]
fn a_connection_goes_on_in_the_next_file() {
    let talk = secure_link();
    let mut verifier = Verifier::new(Needles::general(), &[]).unwrap();
    let mut behind = 0;
    for part in talk.packets.chunks(2) {
        verifier.read(pcap(1, part).as_slice(), |bytes| behind = bytes).unwrap();
    }
    let report = verifier.finish();
    assert_eq!((report.verdict, report.flows.len()), (Verdict::Encrypted, 1));
    assert!(behind > 24);
}

#[test]
fn a_capture_without_a_packet_proves_nothing() {
    assert_eq!(verify(&pcap(1, &[])).verdict, Verdict::Unproven);
    assert_eq!(verify(&pcapng(false, &[])).verdict, Verdict::Unproven);
}

#[test]
fn a_file_of_many_packets_goes_through_a_small_window() {
    // 8 MiB out of a reader that makes them as they are asked for.
    struct Endless {
        head: Vec<u8>,
        packet: Vec<u8>,
        left: usize,
        place: usize,
    }
    impl std::io::Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let source = if self.head.is_empty() { &self.packet } else { &self.head };
            if self.left == 0 {
                return Ok(0);
            }
            let len = out.len().min(source.len() - self.place);
            out[..len].copy_from_slice(&source[self.place..self.place + len]);
            self.place += len;
            if self.place == source.len() {
                self.place = 0;
                if self.head.is_empty() { self.left -= 1 } else { self.head.clear() }
            }
            Ok(len)
        }
    }
    let talk = secure_link();
    let head = talk.pcap();
    let packet = pcap(1, &talk.packets[5..6])[24..].to_vec();
    let left = (8 << 20) / packet.len();
    let mut verifier = Verifier::new(Needles::general(), &[]).unwrap();
    let (mut calls, mut behind) = (0, 0);
    let progress = |bytes| {
        calls += 1;
        behind = bytes;
    };
    verifier.read(Endless { head: head.clone(), packet: packet.clone(), left, place: 0 }, progress).unwrap();
    let report = verifier.finish();
    assert_eq!(report.packets, 7 + left as u64);
    assert_eq!(behind, (head.len() + left * packet.len()) as u64);
    assert!(calls > 2, "progress was told {calls} times");
    // All but the first seven are one packet, captured again and again.
    assert_eq!(report.verdict, Verdict::Encrypted);
}
