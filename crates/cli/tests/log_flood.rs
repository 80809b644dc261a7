//! Floods of one kind of line: a few of them are written, and the count of the rest, so that no line is lost untold.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use support::{Data, Serve};
use vitalwire_testing::program::until;

const FLOOD: usize = 3_000;

/// Lets `FLOOD` connections act on a server, and gives back its log.
fn log_of(act: impl Fn(&mut TcpStream)) -> String {
    let data = Data::new();
    let log = data.file("server.log", "");
    let serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]).stderr(File::create(&log).unwrap());
    });
    for _ in 0..FLOOD {
        act(&mut TcpStream::connect(serve.address("devices")).unwrap());
    }
    // At a stop, those that wait in the kernel to be accepted are let go.
    until("every connection has ended", || ended(&serve) == FLOOD);
    assert!(serve.terminate().1.success());
    std::fs::read_to_string(log).unwrap()
}

/// How many connections have ended, by the server's metrics.
fn ended(serve: &Serve) -> usize {
    let mut stream = TcpStream::connect(serve.address("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let ends = text.lines().filter(|line| line.starts_with("vitalwire_connections_ended_total"));
    ends.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// How many lines are of the ends of connections, and how many more the log says it left out.
fn lines_and_counted(log: &str) -> (usize, usize) {
    let (counts, lines): (Vec<&str>, Vec<&str>) = log
        .lines()
        .filter(|line| line.contains("connection ended"))
        .partition(|line| line.contains("lines like this one were left out"));
    let counted = counts.iter().map(|line| {
        let number = line.split("lines=").nth(1).unwrap().split_whitespace().next().unwrap();
        number.parse::<usize>().unwrap()
    });
    (lines.len(), counted.sum())
}

fn assert_few_and_counted(log: &str) {
    let (lines, counted) = lines_and_counted(log);
    assert_eq!(lines + counted, FLOOD, "every end of a connection is written or counted");
    assert!(counted > 0, "nothing was left out: {lines} lines");
    // A burst, and then five a second for as long as it takes here.
    assert!(lines < FLOOD / 3, "{lines} lines");
}

#[test]
fn connections_that_send_nothing_give_few_lines_and_a_count() {
    assert_few_and_counted(&log_of(|stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        // Until the server has closed: a stop would leave out what it had not accepted.
        let _ = stream.read(&mut [0]);
    }));
}

#[test]
fn wrong_keys_give_few_lines_and_a_count() {
    assert_few_and_counted(&log_of(|stream| {
        let _ = stream.write_all("0123456789abcdef".repeat(2).as_bytes());
        // Until the server has closed.
        let _ = stream.read(&mut [0]);
    }));
}
