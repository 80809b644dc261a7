//! The byte examples of PROTOCOL.md, both ways.

use vitalwire_protocol::batch::{
    Decimal, Event, Hello, Message, Refused, Samples, Welcome, add_oldest, decode, encode_ack, encode_batch,
    encode_configure, encode_event, encode_hello, encode_refused, encode_welcome, refusal_code,
};

use crate::stream::{Unfolded, meaning, written};

/// Bytes of hex with blanks between, and comments after `;`.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.lines().flat_map(|line| line.split(';').next()).collect();
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decoded(bytes: &[u8]) -> Message<'_> {
    let (message, len) = decode(bytes).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    message
}

#[test]
fn hello() {
    let hello = Hello {
        boot: 0x0123_4567_89ab_cdef,
        profile: "pico",
        firmware: "1.0.0",
        time_ms: 4_200,
        oldest: Some(7),
        past: false,
    };
    let expected = bytes(
        "82 01 a6                      ; [1, {
         00 01                         ;   version: 1
         01 1b 0123456789abcdef        ;   boot
         02 64 7069636f                ;   profile: \"pico\"
         03 65 312e302e30              ;   firmware: \"1.0.0\"
         04 19 1068                    ;   time_ms: 4200
         05 07                         ;   oldest: 7",
    );
    assert_eq!(written(|out| encode_hello(&hello, out)), expected);
    assert!(matches!(decoded(&expected), Message::Hello(found) if found == hello));
}

#[test]
fn hello_for_a_boot_that_is_over() {
    let hello =
        Hello { boot: 1, profile: "pico", firmware: "1.0.0", time_ms: 4_200, oldest: Some(7), past: true };
    let expected = bytes("82 01 a7 0001 0101 02647069636f 0365312e302e30 04191068 0507 06f5");
    assert_eq!(written(|out| encode_hello(&hello, out)), expected);
    assert!(matches!(decoded(&expected), Message::Hello(found) if found == hello));
}

#[test]
fn batch_packed() {
    let pulse = Samples {
        index: 2,
        interval_us: 50_000,
        delay_us: 0,
        scale: -3,
        values: &[1_802, 1_810, 1_820, 1_829, 1_840],
    };
    let tilt = Samples { index: 3, values: &[-120, -120, -121, -120, -120], ..pulse };
    let temperature = Samples { index: 0, interval_us: 1_000_000, values: &[36_625], ..pulse };
    let expected = bytes(
        "82 02 a3                      ; [2, {
         00 07                         ;   sequence: 7
         01 19 2710                    ;   time_ms: 10000
         02 83                         ;   channels: [
         a4                            ;     { a pulse wave
         00 02                         ;       index: 2
         01 19 c350                    ;       interval_us: 50000, 20 Hz
         02 22                         ;       scale: -3
         03 46 41 941c 126d80          ;       values: see §4.4
         a1                            ;     { the next channel: index 3, interval and scale as before
         03 44 00 ef01 ac              ;       values: -120 -120 -121 -120 -120
         a3                            ;     {
         00 00                         ;       index: 0
         01 1a 000f4240                ;       interval_us: 1000000
         03 44 00 a2bc04               ;       values: 36625",
    );
    let found = written(|out| encode_batch(7, 10_000, None, &[pulse, tilt, temperature], out));
    assert_eq!(found, expected);
    let Message::Batch(batch) = decoded(&expected) else { panic!("no batch") };
    assert_eq!((batch.sequence, batch.time_ms), (7, 10_000));
    let first = batch.channels().next().unwrap();
    let texts: Vec<String> =
        first.values.map(|value| Decimal::new(value, first.scale).unwrap().to_string()).collect();
    assert_eq!(texts, ["1.802", "1.810", "1.820", "1.829", "1.840"]);
    let channels: Vec<Unfolded> = batch.channels().map(Unfolded::from).collect();
    for (found, sent) in channels.iter().zip([pulse, tilt, temperature]) {
        assert_eq!((found.index, found.interval_us, found.scale), (sent.index, sent.interval_us, sent.scale));
        assert_eq!(found.values, sent.values);
    }
}

#[test]
fn batch_as_a_simple_device_writes_it() {
    let message = bytes(
        "82 02 a3                      ; [2, {
         00 08                         ;   sequence: 8
         01 19 2af8                    ;   time_ms: 11000
         02 81                         ;   channels: [
         a5                            ;     {
         00 02                         ;       index: 2
         01 19 c350                    ;       interval_us: 50000
         02 22                         ;       scale: -3
         03 d8 4d 46 0a07 1407 1d07    ;       values: 77(h'…'), sint16, little-endian: 1802 1812 1821
         04 19 61a8                    ;       delay_us: 25000",
    );
    assert_eq!(
        meaning(&decoded(&message)),
        "batch 8 11000 None [Unfolded { index: 2, interval_us: 50000, delay_us: 25000, scale: -3, values: [1802, 1812, 1821] }]"
    );
}

#[test]
fn batch_after_the_outbox_overflowed() {
    let pulse = Samples { index: 2, interval_us: 50_000, delay_us: 0, scale: -3, values: &[1_802] };
    let expected = bytes(
        "82 02 a4                      ; [2, {
         00 18 28                      ;   sequence: 40
         01 19 a7f8                    ;   time_ms: 43000
         02 81                         ;   channels: [
         a4                            ;     {
         00 02                         ;       index: 2
         01 19 c350                    ;       interval_us: 50000
         02 22                         ;       scale: -3
         03 43 00 941c                 ;       values: 1802
         03 15                         ;   oldest: 21",
    );
    assert_eq!(written(|out| encode_batch(40, 43_000, Some(21), &[pulse], out)), expected);
    let later = written(|out| {
        let len = encode_batch(40, 43_000, None, &[pulse], out)?;
        add_oldest(out, len, 21)
    });
    assert_eq!(later, expected);
    assert!(meaning(&decoded(&expected)).starts_with("batch 40 43000 Some(21) "));
}

#[test]
fn event() {
    let event = Event { code: 2, text: "DS18B20", time_ms: 12_345 };
    let expected = bytes(
        "82 03 a3                      ; [3, {
         00 02                         ;   code: 2, a sensor does not answer
         01 67 44533138423230          ;   text: \"DS18B20\"
         02 19 3039                    ;   time_ms: 12345",
    );
    assert_eq!(written(|out| encode_event(&event, out)), expected);
    assert!(matches!(decoded(&expected), Message::Event(found) if found == event));
}

#[test]
fn welcome() {
    let welcome = Welcome { utc_ms: 1_795_556_251_123, sequence: Some(6) };
    let expected = bytes(
        "82 10 a3                      ; [16, {
         00 01                         ;   version: 1
         01 1b 000001a20f7e15f3        ;   utc_ms: 1795556251123, 2026-11-24T21:37:31.123Z
         02 06                         ;   sequence: 6",
    );
    let found = written(|out| encode_welcome(&welcome, out));
    assert_eq!(found, expected);
    assert!(matches!(decoded(&expected), Message::Welcome(found) if found == welcome));
}

#[test]
fn ack() {
    let expected = bytes("82 11 a1 00 07             ; [17, {sequence: 7}]");
    assert_eq!(written(|out| encode_ack(7, out)), expected);
    assert!(matches!(decoded(&expected), Message::Ack { sequence: 7 }));
}

#[test]
fn configure() {
    let expected = bytes(
        "82 12 a2                      ; [18, {
         00 19 03e8                    ;   batch_ms: 1000
         01 a2                         ;   intervals: {
         02 19 0fa0                    ;     channel 2: 4000 µs, 250 Hz
         00 1a 000f4240                ;     channel 0: 1 s",
    );
    assert_eq!(written(|out| encode_configure(Some(1_000), &[(2, 4_000), (0, 1_000_000)], out)), expected);
    assert_eq!(meaning(&decoded(&expected)), "configure Some(1000) [(2, 4000), (0, 1000000)]");
}

#[test]
fn refused() {
    let refused = Refused { code: refusal_code::UNKNOWN_CHANNEL, text: "no channel 9", sequence: Some(7) };
    let expected = bytes(
        "82 13 a3                      ; [19, {
         00 03                         ;   code: 3, the profile lacks a channel
         01 6c 6e6f206368616e6e656c2039 ;  text: \"no channel 9\"
         02 07                         ;   sequence: 7",
    );
    assert_eq!(written(|out| encode_refused(&refused, out)), expected);
    assert!(matches!(decoded(&expected), Message::Refused(found) if found == refused));
    // Of no batch.
    let hello = Refused { sequence: None, ..refused };
    let shorter = [&[0x82, 0x13, 0xa2], &expected[3..expected.len() - 2]].concat();
    assert_eq!(written(|out| encode_refused(&hello, out)), shorter);
    assert!(matches!(decoded(&shorter), Message::Refused(found) if found == hello));
}
