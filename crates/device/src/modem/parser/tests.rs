//! Byte by byte what Espressif's firmware says, and what it does not say.

extern crate std;

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;

/// All that a modem may say, as AT 1.7 and ESP-AT 2.2 write it.
const TRANSCRIPT: &[u8] = b"\x00\xfe~?4\xe5{\x83\xc4\n\x8c>\xff\xd4,$\r\nready\r\n\
    AT\r\r\n\r\nOK\r\n\
    AT+GMR\r\r\nAT version:1.7.4.0(May 11 2020 19:13:04)\r\nSDK version:3.0.4(9532ceb)\r\nOK\r\n\
    WIFI CONNECTED\r\nWIFI GOT IP\r\n\r\nOK\r\n\
    +CWLAP:(3,\"Ward 3\",-52,\"02:00:00:00:00:01\",1,-12,0)\r\n\
    +CWLAP:(0,\"a\",-9,\"b\",-1000,\"02:00:00:00:00:02\",11,-1,-1,4,4,7,1)\r\n\
    +CWLAP:(4,\"\xff\xfe\",-1,\"02:00:00:00:00:03\",6)\r\n\
    +CWJAP:2\r\n\r\nFAIL\r\n+CWJAP_CUR:3\r\n\r\nERROR\r\n\
    +CIFSR:APIP,\"192.168.4.1\"\r\n+CIFSR:STAIP,\"10.0.0.7\"\r\n+CIFSR:STAMAC,\"02:00:00:00:00:04\"\r\n\r\nOK\r\n\
    4,CONNECT\r\n\r\nOK\r\nOK\r\n> \r\nRecv 5 bytes\r\n\r\nSEND OK\r\n\
    \r\nOK\r\n\r\n>\r\nRecv 5 bytes\r\n\r\nSEND FAIL\r\n\
    \r\n+IPD,4,12:\r\nOK\r\n+IPD,\r\n+IPD,0,3,\"10.0.0.9\",5353:a:b+IPD,1,1:>\r\n4,CLOSED\r\n\
    busy p...\r\nbusy s...\r\nALREADY CONNECTED\r\n\r\nERROR\r\nlink is not valid\r\nDNS Fail\r\nno ip\r\n\
    WIFI DISCONNECT\r\n3,CONNECT FAIL\r\n";

/// What the events of a stream say; data put together.
fn events(pieces: &[&[u8]]) -> Vec<String> {
    let (mut parser, mut all, mut data) = (Parser::new(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        while let Some(event) = parser.next(&mut input) {
            match event {
                Event::Other => {}
                Event::Data { link, bytes, left } => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(bytes);
                    if left == 0 {
                        let whole = core::mem::take(&mut data);
                        all.push(format!("{link}: {}", whole.escape_ascii()));
                    }
                }
                Event::Network(name, facts) => {
                    all.push(format!("{} {} {}", name.escape_ascii(), facts.rssi_dbm, facts.secured));
                }
                event => all.push(format!("{event:?}")),
            }
        }
        assert!(input.is_empty());
    }
    all
}

#[test]
fn reads_what_the_modem_says() {
    let expected = "Ready Ok Version(\"1.7.4.0(May 11 2020 19:13:04)\") Ok WifiJoined Ok\n\
        Ward 3 -52 true\na\\\",-9,\\\"b -128 false\n\\xff\\xfe -1 true\n\
        NotJoined { reason: 2 } Fail NotJoined { reason: 3 } Error Address(\"10.0.0.7\") Ok\n\
        Connected { link: 4 } Ok Ok Prompt SendOk Ok Prompt SendFail\n\
        4: \\r\\nOK\\r\\n+IPD,\\r\n0: a:b\n1: >\n\
        Closed { link: 4 } Busy Busy AlreadyConnected Error NoLink NoSuchHost NoAddress WifiLost Closed { link: 3 }";
    let found = events(&[TRANSCRIPT]).join(" ");
    // The noise has a prompt in it; who asked for none ignores it.
    let found = found.strip_prefix("Prompt ").unwrap_or(&found);
    assert_eq!(found, expected.replace('\n', " "));
}

#[test]
fn reads_the_same_wherever_it_is_cut() {
    let whole = events(&[TRANSCRIPT]);
    for at in 0..=TRANSCRIPT.len() {
        let (before, after) = TRANSCRIPT.split_at(at);
        assert_eq!(events(&[before, after]), whole, "cut at {at}");
    }
    for len in 1..20 {
        assert_eq!(events(&TRANSCRIPT.chunks(len).collect::<Vec<_>>()), whole, "pieces of {len}");
    }
}

#[test]
fn finds_the_next_line_whatever_was_lost_before_it() {
    for start in 0..TRANSCRIPT.len() {
        for len in [1, 2, 7, 40] {
            let mut damaged = TRANSCRIPT.to_vec();
            damaged.drain(start..(start + len).min(TRANSCRIPT.len()));
            // An announced length may swallow what follows it, but no more than it announced.
            damaged.extend_from_slice(&[b'\n'; 12]);
            damaged.extend_from_slice(b"\r\n2,CONNECT\r\n");
            let found = events(&[&damaged]);
            assert_eq!(
                found.last().map(String::as_str),
                Some("Connected { link: 2 }"),
                "{len} lost at {start}"
            );
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_nothing() {
    for len in [LINE_LEN_MAX - 2, LINE_LEN_MAX, LINE_LEN_MAX + 1, 5_000] {
        let mut bytes = vec![b'x'; len];
        bytes.extend_from_slice(b"OK\r\n+IPD,0,2:hi\r\nERROR\r\n");
        assert_eq!(events(&[&bytes]), ["0: hi", "Error"], "{len}");
    }
}

#[test]
fn announcements_that_make_no_sense_swallow_nothing() {
    for announcement in [
        &b"+IPD,0,0:"[..],
        b"+IPD,0,-5:",
        b"+IPD,0,+5:",
        b"+IPD,0,4097:",
        b"+IPD,0,99999999999999999999:",
        b"+IPD,256,5:",
        b"+IPD,,5:",
        b"+IPD,5:",
        b"+IPD:",
        b"x+IPD,0,5:",
        b"+CWLAP:(0,\"+IPD,0,5:\",-1,\"02:00:00:00:00:00\",1)",
    ] {
        let mut bytes = announcement.to_vec();
        bytes.extend_from_slice(b"\r\n0,CONNECT\r\n");
        let found = events(&[&bytes]);
        assert_eq!(found.last().map(String::as_str), Some("Connected { link: 0 }"));
        assert!(!found.iter().any(|event| event.starts_with("0:")), "{}", announcement.escape_ascii());
    }
    assert_eq!(events(&[b"+IPD,9,2:hi"]), ["9: hi"]);
}

#[test]
fn networks_that_make_no_sense_are_none() {
    for line in [
        &b"+CWLAP:(3,\"name\",-52)"[..],
        b"+CWLAP:(3,name,-52,\"02:00:00:00:00:01\",1)",
        b"+CWLAP:(x,\"name\",-52,\"02:00:00:00:00:01\",1)",
        b"+CWLAP:(3,\"name\",loud,\"02:00:00:00:00:01\",1)",
        b"+CWLAP:(3,\"name of more than thirty-two bytes\",-52,\"02:00:00:00:00:01\",1)",
        b"+CWLAP:(3,\"",
        b"+CWLAP:(",
    ] {
        let mut bytes = line.to_vec();
        bytes.extend_from_slice(b"\r\n");
        assert_eq!(events(&[&bytes]), [""; 0], "{}", line.escape_ascii());
    }
}

#[test]
fn gives_up_data_that_was_lost_at_the_next_line_end() {
    let mut parser = Parser::new();
    let mut input = &b"+IPD,3,10:abc"[..];
    assert_eq!(parser.next(&mut input), Some(Event::Data { link: 3, bytes: b"abc", left: 7 }));
    assert_eq!(parser.next(&mut input), None);
    assert_eq!(parser.resynchronise(), Some(3));
    let mut input = &b"SEND OK\r\nSEND OK\r\n"[..];
    // The first is perhaps the end of something else.
    assert_eq!(parser.next(&mut input), Some(Event::SendOk));
    assert_eq!(parser.next(&mut input), None);
    assert_eq!(parser.resynchronise(), None);
    let mut input = &b"OK\r\n"[..];
    assert_eq!(parser.next(&mut input), Some(Event::Ok));
}
