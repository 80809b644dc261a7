//! `vitalwire alarms test-hook` against receivers on real sockets: what arrives, and what is said when nothing does.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::thread::{self, JoinHandle};

use support::{Data, run, stderr, stdout};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";

/// A receiver of one request.
fn receiver(status: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut len) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(number) = line.strip_prefix("content-length: ") {
                len = number.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
        head + &String::from_utf8(body).unwrap()
    });
    (port, thread)
}

fn secret(data: &Data, mode: u32) -> PathBuf {
    let path = data.folder().join("hook-secret");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

fn test_hook(data: &Data, url: &str, more: &[&str]) -> Output {
    run(&[&["alarms", "test-hook", "--data", data.path(), "--webhooks", url][..], more].concat())
}

#[test]
fn a_test_arrives_signed_and_its_failure_is_said_plainly() {
    let data = Data::new();
    let secret = secret(&data, 0o600);
    let secret = ["--webhook-secret-file", secret.to_str().unwrap()];
    let allowed = [&secret[..], &["--webhook-allowed-hosts", "127.0.0.1"]].concat();
    let (port, taken) = receiver("204 No Content");
    let url = format!("http://127.0.0.1:{port}/hooks?key=1");
    let output = test_hook(&data, &url, &allowed);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), format!("http://127.0.0.1:{port}: delivered\n"));
    let request = taken.join().unwrap();
    assert!(request.starts_with("POST /hooks?key=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("webhook-signature: v1,") && request.contains(r#""kind":"test""#), "{request}");

    let (port, taken) = receiver("503 Busy");
    let output = test_hook(&data, &format!("http://127.0.0.1:{port}/hooks"), &allowed);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("NOT delivered: it answered 503"), "{}", stdout(&output));
    taken.join().unwrap();

    let output = test_hook(&data, "https://127.0.0.1:9/hooks", &secret);
    assert!(stdout(&output).contains("alarms.webhook_allowed_hosts"), "{}", stdout(&output));
}

#[test]
fn settings_that_cannot_be_used_are_refused_and_say_what_to_do() {
    let data = Data::new();
    let open = secret(&data, 0o644);
    let open = open.to_str().unwrap();
    let no_secret = data.folder().join("no-secret");
    fs::write(&no_secret, "geheim\n").unwrap();
    fs::set_permissions(&no_secret, Permissions::from_mode(0o600)).unwrap();
    let url = "https://ward.example/hooks";
    for (url, more, words) in [
        (url, vec![], "openssl rand -base64 32"),
        (url, vec!["--webhook-secret-file", open], "chmod 600"),
        (url, vec!["--webhook-secret-file", no_secret.to_str().unwrap()], "want whsec_"),
        ("https://me:pw@ward.example", vec![], "leave user and password out"),
        ("ward.example/hooks", vec![], "want https://HOST/PATH"),
    ] {
        let output = test_hook(&data, url, &more);
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.contains(words) && !told.contains("geheim") && !told.contains("me:pw"), "{url}: {told}");
    }
    fs::set_permissions(open, Permissions::from_mode(0o600)).unwrap();
    let output = test_hook(&data, "http://ward.example/hooks", &["--webhook-secret-file", open]);
    assert!(stderr(&output).contains("--webhook-allowed-hosts ward.example"), "{}", stderr(&output));
    let none = run(&["alarms", "test-hook", "--data", data.path()]);
    assert!(stderr(&none).contains("no web hook is set"), "{}", stderr(&none));
}
