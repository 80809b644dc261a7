//! Names and keys: found in any spelling and across any cut, told without being shown, and not found by chance.

use vitalwire_capture::{NeedleError, NeedleKind, Needles, Verdict, Verifier};

use crate::craft::{Talk, client_hello, noise, record, secure_link, verify_with};

const KEY: [u8; 32] = *b"\x01\xfe0123456789abcdefghijklmnop~\xff\xaa\xbb";

fn needles() -> Needles {
    let mut needles = Needles::general();
    needles.name("device", "bed_07");
    needles.name("user", "nurse");
    needles.link_id("bed_07", b"00112233445566778899aabbccddeeff");
    needles.key("the pre-shared key of bed_07", &KEY);
    needles.patient(3, "Ana Canaria");
    needles.password("the network password of bed_07", "hjb4xr11pvvb");
    needles
}

/// What is found when the client says this, in the clear.
fn found(payload: &[u8]) -> Vec<(NeedleKind, String)> {
    let report = verify_with(needles(), &Talk::new().up(payload).pcap());
    report.flows[0].findings.iter().map(|finding| (finding.kind, finding.what.clone())).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_key_is_found_in_every_spelling() {
    let mut payloads = vec![KEY.to_vec(), hex(&KEY).into_bytes(), hex(&KEY).to_uppercase().into_bytes()];
    // Base64 by openssl(1) of the key, of ":" and the key, of "::" and the key; then with the letters of URLs.
    for text in [
        "Af4wMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcH7/qrs=",
        "OgH+MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3B+/6q7",
        "OjoB/jAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wfv+quw==",
        "OgH-MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3B-_6q7",
        "OjoB_jAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wfv-quw==",
    ] {
        payloads.push(text.as_bytes().to_vec());
    }
    for payload in payloads {
        let found = found(&[b".. ", payload.as_slice(), b" .."].concat());
        assert_eq!(found.len(), 1, "{:?}: {found:?}", String::from_utf8_lossy(&payload));
        assert!(found[0].0 == NeedleKind::Key && found[0].1.starts_with("the pre-shared key of bed_07"));
    }
    assert_eq!(found(b"password=hjb4xr11pvvb")[0].1, "the network password of bed_07");
}

#[test]
fn a_patient_is_found_and_not_shown() {
    let found = found(b"{\"bed\":7,\"who\":\"Ana Canaria\"}");
    assert_eq!(found, [(NeedleKind::Name, "what is known of the patient of stay 3".to_owned())]);
}

#[test]
fn a_name_is_found_across_any_cut_of_segments_and_records() {
    let text = b".. Pico/bed_07/x ..";
    for cut in 1..text.len() {
        let in_the_clear = Talk::new().up(&text[..cut]).up(&text[cut..]);
        let in_records = secure_link().up(&record(23, &text[..cut])).up(&record(23, &text[cut..]));
        for talk in [in_the_clear, in_records] {
            let report = verify_with(needles(), &talk.pcap());
            let flow = &report.flows[0];
            let names: Vec<_> =
                flow.findings.iter().filter(|finding| finding.kind == NeedleKind::Name).collect();
            assert_eq!((names.len(), names[0].times), (1, 1), "cut at {cut}");
            assert_eq!(report.verdict, Verdict::Found);
        }
    }
}

#[test]
fn a_finding_tells_where_and_when() {
    let talk = Talk::new().up(b"12345bed_07").down(b"bed_07 bed_07");
    let report = verify_with(needles(), &talk.pcap());
    let [down, up] = &report.flows[0].findings[..] else { panic!("{:?}", report.flows[0].findings) };
    assert_eq!((up.to_server, up.at, up.times), (true, 5, 1));
    assert_eq!((down.to_server, down.at, down.times), (false, 0, 2));
    assert_eq!(up.time.to_string(), "2026-11-24T21:37:31.502Z");
}

#[test]
fn a_link_id_may_be_the_identity_of_a_key_and_nothing_else() {
    let id = b"00112233445566778899aabbccddeeff";
    let report = verify_with(needles(), &secure_link().pcap());
    assert_eq!(report.verdict, Verdict::Encrypted, "{report:?}");
    // As a name of the server, in a refused handshake.
    let mut hello = client_hello(b"another");
    let random = 5 + 4 + 2;
    hello[random..random + 32].copy_from_slice(id);
    let report = verify_with(needles(), &Talk::new().up(&hello).pcap());
    assert_eq!(report.flows[0].findings[0].kind, NeedleKind::LinkId);
    assert_eq!(found(id)[0].0, NeedleKind::LinkId);
    let report = verify_with(needles(), &secure_link().up(&record(23, id)).pcap());
    assert_eq!(report.flows[0].findings.len(), 1);
}

#[test]
fn a_key_within_encrypted_records_or_digits_of_frames_is_found() {
    let report = verify_with(needles(), &secure_link().up(&record(23, &KEY)).pcap());
    assert_eq!((report.verdict, report.flows[0].findings.len()), (Verdict::Found, 1));
    // The key as if it were a frame: its digits are those of the key, and what they stand for is the key.
    let report = verify_with(needles(), &Talk::new().up(hex(&KEY).as_bytes()).pcap());
    assert_eq!(report.flows[0].protocol, "AES-CBC frames");
    assert_eq!(report.flows[0].findings.len(), 2);
}

#[test]
fn short_names_are_not_found_by_chance_and_the_report_says_so() {
    let mut needles = needles();
    for name in ["a", "ab1", "iot1", "face0ff"] {
        needles.name("device", name);
    }
    // "nurse" and "iot1" are long enough for what is in the clear only; the digits of "face0ff" for all but digits.
    let frame = [b"face0ffa".repeat(4), b"+".to_vec(), b"0".repeat(32)].concat();
    let talk = secure_link().up(&record(23, b"..nurse..a..iot1"));
    let mut packets = talk.packets;
    packets.extend(Talk::between(([192, 0, 2, 5], 40_000), 1_000).up(&frame).packets);
    let report = verify_with(needles, &crate::craft::pcap(1, &packets));
    assert_eq!(report.verdict, Verdict::Encrypted, "{report:?}");
    let searched = &report.searched;
    assert_eq!(
        (searched.names, searched.names_not_searched, searched.names_searched_in_clear_only),
        (7, 2, 2)
    );
    assert_eq!((searched.keys, searched.link_ids), (2, 1));
    assert!(searched.words.iter().any(|word| word == "Pulse_Signal"));
}

#[test]
fn a_thousand_short_names_are_searched_in_the_clear_only() {
    let mut needles = Needles::general();
    for number in 0..1_000 {
        needles.name("device", &format!("d{number:05}"));
    }
    // Among bytes that look random one of so many would be found by chance in a few GB.
    let report = verify_with(needles, &secure_link().up(&record(23, b"..d00042..")).pcap());
    assert_eq!(report.verdict, Verdict::Encrypted);
    assert_eq!(report.searched.names_searched_in_clear_only, 1_000);
}

#[test]
fn neither_report_nor_json_ever_shows_a_key() {
    let payload = [&KEY[..], hex(&KEY).as_bytes(), b"hjb4xr11pvvb"].concat();
    let report = verify_with(needles(), &Talk::new().up(&payload).pcap());
    assert_eq!(report.flows[0].findings.len(), 3);
    for shown in [format!("{report:?}"), serde_json::to_string(&report).unwrap()] {
        for secret in ["hjb4xr11pvvb", "0123456789abcdefg", &hex(&KEY)[..12], "54, 55, 56, 57"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn more_needles_than_one_search_takes_are_refused() {
    let mut needles = Needles::general();
    for number in 0..40_000_u32 {
        needles.key("a key", &[&noise(u64::from(number), 28)[..], &number.to_be_bytes()].concat());
    }
    assert!(matches!(Verifier::new(needles, &[]), Err(NeedleError::TooMany { .. })));
}
