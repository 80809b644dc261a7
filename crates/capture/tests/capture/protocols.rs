//! What connections speak, and what of it counts as encrypted.

use vitalwire_capture::Verdict;
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};

use crate::craft::{
    Talk, client_hello, extension, flow, handshake, noise, reasons, record, secure_link, server_hello,
    tls_1_3_extensions, verify,
};

const IDENTITY: &[u8] = b"00112233445566778899aabbccddeeff";

#[test]
fn tls_1_3_with_a_pre_shared_key_is_encrypted() {
    let flow = flow(&secure_link());
    assert_eq!((flow.verdict, flow.protocol.as_str()), (Verdict::Encrypted, "TLS"));
    let tls = flow.tls.unwrap();
    assert_eq!((tls.version.as_str(), tls.suite.as_str()), ("TLS 1.3", "TLS_CHACHA20_POLY1305_SHA256"));
    assert!(tls.pre_shared_key && tls.key_share);
}

#[test]
fn tls_1_3_with_a_certificate_has_no_pre_shared_key() {
    let extensions = [extension(43, &[3, 4]), extension(51, &[0; 36])].concat();
    let talk = Talk::new()
        .up(&client_hello(IDENTITY))
        .down(&[server_hello(0x1302, &extensions), record(23, &noise(1, 80))].concat())
        .up(&record(23, &noise(2, 80)));
    let flow = flow(&talk);
    assert_eq!(flow.verdict, Verdict::Encrypted);
    assert!(!flow.tls.unwrap().pre_shared_key);
}

/// A `ServerHello` that asks for another `ClientHello` (RFC 8446 §4.1.4).
fn retry() -> Vec<u8> {
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let extensions = extension(43, &[3, 4]);
    let body = [&[3, 3][..], &random, &[0, 0x13, 0x01, 0, 0, 6], &extensions].concat();
    handshake(2, &body)
}

#[test]
fn a_second_client_hello_after_a_retry_is_no_leak() {
    let talk = Talk::new()
        .up(&[client_hello(IDENTITY), record(20, &[1])].concat())
        .down(&[retry(), record(20, &[1])].concat())
        .up(&client_hello(IDENTITY))
        .down(&[server_hello(0x1301, &tls_1_3_extensions()), record(23, &noise(1, 80))].concat())
        .up(&record(23, &noise(2, 80)));
    let flow = flow(&talk);
    assert_eq!(
        (flow.verdict, flow.tls.unwrap().suite.as_str()),
        (Verdict::Encrypted, "TLS_AES_128_GCM_SHA256")
    );
    let unfinished = Talk::new().up(&client_hello(IDENTITY)).down(&retry());
    assert!(crate::craft::flow(&unfinished).tls.is_none());
}

#[test]
fn what_tls_1_3_would_have_encrypted_is_a_leak_in_the_clear() {
    let talk = secure_link().down(&handshake(8, &[0, 0]));
    assert_eq!((flow(&talk).verdict, reasons(&flow(&talk))), (Verdict::Found, vec!["before-encryption"]));
}

#[test]
fn a_refused_handshake_carries_nothing() {
    let talk = Talk::new().up(&client_hello(IDENTITY)).down(&record(21, &[2, 51]));
    assert_eq!((flow(&talk).verdict, reasons(&flow(&talk)).len()), (Verdict::Empty, 0));
}

/// A session of TLS 1.2 with this suite, and this content of each side's first record.
fn tls_1_2(suite: u16, up: &[u8], down: &[u8]) -> Talk {
    Talk::new()
        .up(&client_hello(IDENTITY))
        .down(&[server_hello(suite, &[]), handshake(14, b"")].concat())
        .up(&[handshake(16, &noise(1, 40)), record(20, &[1]), record(22, &noise(2, 40))].concat())
        .down(&[record(20, &[1]), record(22, &noise(3, 40))].concat())
        .up(&record(23, up))
        .down(&record(23, down))
}

#[test]
fn tls_1_2_is_judged_by_its_suite() {
    let of = |suite| flow(&tls_1_2(suite, &noise(4, 80), &noise(5, 80)));
    assert_eq!(of(0xc02f).verdict, Verdict::Encrypted);
    assert!(of(0xd001).tls.unwrap().pre_shared_key);
    assert_eq!(of(0xc02f).tls.unwrap().version, "TLS 1.2");
    assert_eq!((of(0x003b).verdict, reasons(&of(0x003b))), (Verdict::Found, vec!["null-cipher"]));
    assert_eq!((of(0x9999).verdict, reasons(&of(0x9999))), (Verdict::Unproven, vec!["unknown-suite"]));
    assert_eq!(of(0x9999).tls.unwrap().suite, "cipher suite 0x9999");
}

#[test]
fn an_obsolete_version_is_told() {
    let mut talk = tls_1_2(0x002f, &noise(4, 80), &noise(5, 80));
    // The version in the `ServerHello`, behind the headers of Ethernet, IP, TCP, record and message.
    talk.packets[3][14 + 20 + 20 + 5 + 4 + 1] = 1;
    assert_eq!((flow(&talk).verdict, reasons(&flow(&talk))), (Verdict::Unproven, vec!["old-version"]));
}

#[test]
fn blocks_that_repeat_within_tls_are_found() {
    let block = noise(9, 16);
    let up = [&block[..], &noise(10, 32), &block].concat();
    let flow = flow(&tls_1_2(0x002f, &up, &noise(11, 64)));
    assert_eq!((flow.verdict, flow.repeated_blocks, flow.findings.len()), (Verdict::Found, 1, 0));
    let repeat = &flow.repeats[0];
    assert_eq!((repeat.at - repeat.before_at, repeat.before_flow, repeat.to_server), (48, 1, true));
}

#[test]
fn blocks_that_repeat_in_another_connection_are_found() {
    let block = noise(9, 32);
    let one = tls_1_2(0x002f, &block, &noise(11, 64));
    let mut packets = one.packets;
    let again = Talk::between(([192, 0, 2, 2], 40_000), 1_000)
        .up(&[client_hello(IDENTITY), record(23, &block)].concat())
        .down(&server_hello(0x1301, &tls_1_3_extensions()));
    packets.extend(again.packets);
    let report = verify(&crate::craft::pcap(1, &packets));
    assert_eq!((report.flows[0].repeated_blocks, report.flows[1].repeated_blocks), (0, 2));
    assert_eq!(report.flows[1].repeats[0].before_flow, 1);
}

#[test]
fn what_is_no_tls_within_tls_is_searched_and_told() {
    let talk = secure_link().up(b"and now in the clear");
    assert_eq!(
        (flow(&talk).verdict, reasons(&flow(&talk))),
        (Verdict::Unproven, vec!["not-tls", "not-judged"])
    );
    let talk = secure_link().up(b"{\"Temp\":\"36.6\"}");
    assert_eq!(flow(&talk).verdict, Verdict::Found);
    let long = handshake(1, &[])[..6].to_vec();
    let talk = Talk::new().up(&[&long[..], &[0xff; 10]].concat());
    assert_ne!(flow(&talk).verdict, Verdict::Encrypted);
}

#[test]
fn data_in_the_clear_that_calls_itself_tls_is_found() {
    let talk = secure_link().up(&record(23, b"..{\"Temp\":\"36.6\",\"TempMcu\":\"23.7\"}..."));
    let flow = flow(&talk);
    assert_eq!((flow.verdict, flow.findings.len()), (Verdict::Found, 2));
}

/// A frame of the paper's with this pulse signal.
fn frame(variant: Variant, pulse: &str) -> Vec<u8> {
    let secret = CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA");
    let json = format!(
        "{{\"Temp\":\"36.600\",\"TempMcu\":\"23.700\",\"PulseSig\":\"{pulse}\",\"Acel_x\":\"0.0\",\"Acel_y\":\"0.0\",\
         \"Acel_z\":\"1.0\",\"TempMpu\":\"23.4\"}}"
    );
    let mut frame = vec![0; FRAME_LEN_MAX];
    let len = FrameEncoder::new(&secret, variant).encode(json.as_bytes(), &mut frame).unwrap();
    frame.truncate(len);
    frame
}

#[test]
fn one_frame_is_encrypted_and_two_show_blocks_that_repeat() {
    for variant in Variant::ALL {
        let talk = Talk::new().up(&frame(variant, "1.802"));
        assert_eq!(
            (flow(&talk).verdict, flow(&talk).protocol.as_str()),
            (Verdict::Encrypted, "AES-CBC frames")
        );
        let flow = flow(&talk.up(&frame(variant, "1.9")));
        assert_eq!(flow.verdict, Verdict::Found, "{variant}");
        assert_eq!((flow.repeats[0].before_at, flow.repeats[0].before_flow), (0, 1));
        assert_eq!(flow.repeats[0].at, frame(variant, "1.802").len() as u64);
    }
}

#[test]
fn frames_are_understood_however_they_are_cut() {
    let frames = [frame(Variant::Chained, "1.802"), frame(Variant::Chained, "1.9")].concat();
    let expected = flow(&Talk::new().up(&frames)).repeated_blocks;
    for cut in 1..frames.len() {
        let flow = flow(&Talk::new().up(&frames[..cut]).up(&frames[cut..]));
        assert_eq!(
            (flow.protocol.as_str(), flow.repeated_blocks),
            ("AES-CBC frames", expected),
            "cut at {cut}"
        );
        assert!(flow.reasons.is_empty());
    }
}

#[test]
fn hexadecimal_digits_of_readable_text_are_no_ciphertext() {
    let text = b"{\"Temp\":\"36.600\",\"TempMcu\":\"23.700\"} in hex digits";
    let digits: String = text[..48].iter().map(|byte| format!("{byte:02x}")).collect();
    let flow = flow(&Talk::new().up(digits.as_bytes()));
    assert_eq!(
        (flow.protocol.as_str(), flow.verdict, flow.findings.len()),
        ("AES-CBC frames", Verdict::Found, 2)
    );
}

#[test]
fn what_is_no_frame_within_frames_is_told() {
    let talk = Talk::new().up(&frame(Variant::Chained, "1")).up(b"Temp");
    assert_eq!(
        (flow(&talk).verdict, reasons(&flow(&talk))),
        (Verdict::Unproven, vec!["not-frames", "not-judged"])
    );
}

/// `CONNECT` with a user and a password.
fn connect() -> Vec<u8> {
    let body = [&b"\0\x04MQTT\x04\xc2\0\x3c"[..], b"\0\x01a\0\x05nurse\0\x08geheim12"].concat();
    [&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// `PUBLISH` at QoS 0.
fn publish(topic: &str, payload: &str) -> Vec<u8> {
    let topic_len = u16::try_from(topic.len()).unwrap().to_be_bytes();
    let body = [&topic_len[..], topic.as_bytes(), payload.as_bytes()].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

fn values() -> Vec<u8> {
    [
        publish("Pico/bed_07/Physiological_Data/Temperature", "36.600"),
        publish("Pico/bed_07/Physiological_Data/Pulse_Signal", "1.802"),
    ]
    .concat()
}

#[test]
fn mqtt_in_the_clear_shows_its_password_topics_and_messages() {
    let flow = flow(&Talk::new().up(&connect()).down(&[0x20, 2, 0, 0]).down(&values()));
    assert_eq!((flow.verdict, flow.protocol.as_str(), flow.mqtt_messages), (Verdict::Found, "MQTT", 2));
    assert_eq!(reasons(&flow), ["in-the-clear", "password"]);
    let found: Vec<_> = flow.findings.iter().map(|finding| (finding.what.as_str(), finding.times)).collect();
    assert!(found.contains(&("`Physiological_Data` of a topic", 2)), "{found:?}");
    assert!(found.contains(&("`Pulse_Signal` of a topic", 1)));
}

#[test]
fn mqtt_is_understood_however_it_is_cut() {
    let (up, down) = (connect(), [vec![0x20, 2, 0, 0], values()].concat());
    for cut in 1..up.len() {
        let talk = Talk::new().up(&up[..cut]).up(&up[cut..]);
        assert_eq!(reasons(&flow(&talk)), ["in-the-clear", "password"], "cut at {cut}");
    }
    for cut in 1..down.len() {
        let talk = Talk::new().up(&up).down(&down[..cut]).down(&down[cut..]);
        assert_eq!(flow(&talk).mqtt_messages, 2, "cut at {cut}");
    }
}

/// A frame of a WebSocket, masked if there is a mask.
fn websocket(mask: Option<[u8; 4]>, content: &[u8]) -> Vec<u8> {
    let len = u8::try_from(content.len()).unwrap();
    let mut bytes = vec![0x82];
    let masked = u8::from(mask.is_some()) << 7;
    if len < 126 {
        bytes.push(masked | len)
    } else {
        bytes.extend([masked | 126, 0, len])
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn upgrade(extensions: &str) -> (String, String) {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n{extensions}\r\n"
    );
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-protocol: mqtt\r\n\r\n";
    (request, answer.to_owned())
}

#[test]
fn mqtt_over_a_websocket_is_unmasked_and_searched() {
    let (request, answer) = upgrade("");
    let up = [request.into_bytes(), websocket(Some([0x1f, 0xb2, 3, 0xd4]), &connect())].concat();
    let down = [answer.into_bytes(), websocket(None, &values())].concat();
    for cut in 1..up.len() {
        let flow = flow(&Talk::new().up(&up[..cut]).up(&up[cut..]).down(&down));
        assert_eq!(flow.protocol, "MQTT over WebSocket", "cut at {cut}");
        assert_eq!(reasons(&flow), ["in-the-clear", "password"], "cut at {cut}");
        assert_eq!(flow.mqtt_messages, 2);
        assert!(flow.findings.iter().any(|finding| finding.what.contains("Pulse_Signal")));
    }
}

#[test]
fn compressed_messages_are_told_as_not_searched() {
    let (request, answer) = upgrade("");
    let mut frame = websocket(None, b"\x01\x02\x03");
    frame[0] |= 0x40;
    let talk = Talk::new().up(request.as_bytes()).down(&[answer.as_bytes(), &frame].concat());
    assert_eq!(reasons(&flow(&talk)), ["in-the-clear", "compressed"]);
}

#[test]
fn http_in_the_clear_is_found_with_its_login() {
    let talk = Talk::new()
        .up(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic bnVyc2U6Z2VoZWlt\r\n\r\n")
        .down(b"HTTP/1.1 200 OK\r\n\r\nvitalwire_devices_connected 1\n");
    let flow = flow(&talk);
    assert_eq!((flow.verdict, flow.protocol.as_str()), (Verdict::Found, "HTTP"));
    assert_eq!(flow.findings.len(), 1);
    assert_eq!(reasons(&flow), ["in-the-clear"]);
}

#[test]
fn what_is_unknown_is_not_called_encrypted() {
    for bytes in [&noise(3, 500)[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\x82\x01\xa5", b"0123", b"hello"] {
        let flow = flow(&Talk::new().up(bytes));
        assert_eq!((flow.verdict, reasons(&flow)), (Verdict::Unproven, vec!["not-judged"]));
    }
}
