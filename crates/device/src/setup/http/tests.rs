//! Requests at every cut, at every limit, and of every kind that is refused.

extern crate std;

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;

const HOSTS: &[&str] = &["192.168.4.1"];

fn head(request: &str) -> Result<Option<(Wanted, usize)>, Refusal> {
    read_head(request.as_bytes(), HOSTS)
}

fn wanted(request: &str) -> Result<Wanted, Refusal> {
    head(request).map(|head| head.unwrap().0)
}

#[test]
fn a_request_is_whole_at_its_last_byte() {
    let request = "POST /save HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Length: 60\r\n\r\n";
    for len in 0..request.len() {
        assert_eq!(head(&request[..len]), Ok(None), "{len} bytes");
    }
    let expected = Ok(Some((Wanted::Save { body_len: 60 }, request.len())));
    assert_eq!(head(request), expected);
    assert_eq!(head(&format!("{request}body")), expected);
}

#[test]
fn a_host_may_say_the_port_and_be_of_any_case() {
    let get = |host: &str, hosts: &[&str]| {
        read_head(format!("GET / HTTP/1.1\r\nHOST:{host}\r\n\r\n").as_bytes(), hosts).unwrap().unwrap().0
    };
    for (host, own) in [
        ("192.168.4.1", "192.168.4.1"),
        (" 192.168.4.1:80", "192.168.4.1"),
        ("Device.local", "device.LOCAL"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1", "127.0.0.1:80"),
    ] {
        assert_eq!(get(host, &["other", own]), Wanted::Page, "{host}");
    }
    for host in [
        "",
        "192.168.4.2",
        "192.168.4.1:8080",
        "192.168.4.1.evil.example",
        "captive.apple.com",
        "192.168.4.1:80:80",
    ] {
        assert_eq!(get(host, HOSTS), Wanted::WayToPage, "{host}");
    }
}

#[test]
fn phones_are_sent_to_the_page_and_saves_are_not() {
    for request in [
        "GET /hotspot-detect.html HTTP/1.0\r\nHost: captive.apple.com\r\n\r\n",
        "GET /generate_204 HTTP/1.1\r\nHost: connectivitycheck.gstatic.com\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        assert_eq!(wanted(request), Ok(Wanted::WayToPage), "{request}");
    }
    let save = "POST /save HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 60\r\n\r\n";
    assert_eq!(wanted(save), Err(Refusal::ForeignHost));
}

#[test]
fn other_paths_and_methods_are_refused() {
    let refused = |line: &str| wanted(&format!("{line} HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n")).unwrap_err();
    for line in
        ["GET /favicon.ico", "GET /../", "GET //", "POST /other", "PUT /other", "GET http://192.168.4.1/"]
    {
        assert_eq!(refused(line), Refusal::NotFound, "{line}");
    }
    for line in ["POST /", "HEAD /", "PUT /", "DELETE /", "OPTIONS /?a", "BREW /"] {
        assert_eq!(refused(line), Refusal::Method { allowed: "GET" }, "{line}");
    }
    for line in ["GET /save", "HEAD /save", "OPTIONS /save"] {
        assert_eq!(refused(line), Refusal::Method { allowed: "POST" }, "{line}");
    }
    let foreign = wanted("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(foreign, Err(Refusal::Method { allowed: "GET" }));
}

#[test]
fn a_query_is_ignored() {
    assert_eq!(wanted("GET /?a=b HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n"), Ok(Wanted::Page));
}

#[test]
fn a_body_announces_its_length_once_and_in_digits() {
    let save = |fields: &str| wanted(&format!("POST /save HTTP/1.1\r\nHost: 192.168.4.1\r\n{fields}\r\n"));
    assert_eq!(save("Content-Length: 0\r\n"), Ok(Wanted::Save { body_len: 0 }));
    assert_eq!(save("Content-Length: 1024\r\n"), Ok(Wanted::Save { body_len: 1_024 }));
    assert_eq!(save(""), Err(Refusal::LengthRequired));
    assert_eq!(save("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), Err(Refusal::LengthRequired));
    assert_eq!(save("Content-Length: 1025\r\n"), Err(Refusal::BodyTooLong { len: 1_025 }));
    let endless = format!("Content-Length: {}\r\n", "9".repeat(40));
    assert_eq!(save(&endless), Err(Refusal::BodyTooLong { len: usize::MAX }));
    for length in ["", "-1", "+1", "1 ", "0x1", "1,1", "a"] {
        let fields = format!("Content-Length:{length}\r\n");
        let expected =
            if length == "1 " { Ok(Wanted::Save { body_len: 1 }) } else { Err(Refusal::Malformed) };
        assert_eq!(save(&fields), expected, "{length:?}");
    }
    assert_eq!(save("Content-Length: 1\r\nContent-Length: 1\r\n"), Err(Refusal::Malformed));
    assert_eq!(save("Content-Length: 1\r\nHost: 192.168.4.1\r\n"), Err(Refusal::Malformed));
}

#[test]
fn a_head_over_its_limit_is_refused_without_its_end() {
    let request = |field_len: usize| {
        format!("GET / HTTP/1.1\r\nHost: 192.168.4.1\r\nA: {}\r\n\r\n", "a".repeat(field_len))
    };
    let without = request(0).len();
    assert_eq!(wanted(&request(HEAD_LEN_MAX - without)), Ok(Wanted::Page));
    assert_eq!(head(&request(HEAD_LEN_MAX - without + 1)), Err(Refusal::HeadTooLong));
    let long = request(10_240);
    assert_eq!(head(&long[..HEAD_LEN_MAX - 1]), Ok(None));
    assert_eq!(head(&long[..HEAD_LEN_MAX]), Err(Refusal::HeadTooLong));
    let many: String = (0..40).map(|number| format!("A{number}: b\r\n")).collect();
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(Refusal::HeadTooLong));
}

#[test]
fn what_is_no_request_is_refused_at_once() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nA b\r\n\r\n",
        b"\0",
    ] {
        assert_eq!(read_head(bytes, HOSTS), Err(Refusal::Malformed), "{bytes:?}");
    }
}

#[test]
fn the_longest_head_of_an_answer_fits() {
    let policy = "p".repeat(300);
    let more = [
        ("Content-Encoding", "gzip"),
        ("Content-Security-Policy", policy.as_str()),
        ("Referrer-Policy", "no-referrer"),
    ];
    let head = answer_head("200 OK", "text/html; charset=utf-8", 65_535, &more);
    assert!(head.ends_with("no-referrer\r\n\r\n"), "{head}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_request_or_refused_or_not_whole(bytes: Vec<u8>) {
        if let Ok(Some((_, len))) = read_head(&bytes, HOSTS) {
            assert!(len <= bytes.len());
        }
    }
}
