//! Floods of one kind of line: a few of them are written, and the count of the rest, so that no line is lost untold.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::{Data, Serve};
use vitalwire_testing::program::until;

const FLOOD: usize = 3_000;
/// Lines that a place in the program writes at once, and then a second.
const BURST_LINES: u64 = 50;
const LINES_PER_SECOND: u64 = 5;

/// Lets `FLOOD` connections act on a server, and checks its log: few lines, and a count of the rest.
fn flood(act: impl Fn(TcpStream)) {
    let data = Data::new();
    let log = data.file("server.log", "");
    let serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]).stderr(File::create(&log).unwrap());
    });
    let begun = Instant::now();
    for _ in 0..FLOOD {
        act(TcpStream::connect(serve.address("devices")).unwrap());
    }
    // At a stop, those that wait in the kernel to be accepted are let go.
    until("every connection has ended", || ended(&serve) == FLOOD);
    assert!(serve.terminate().1.success());
    let (lines, counted) = lines_and_counted(&std::fs::read_to_string(log).unwrap());
    assert_eq!(lines + counted, FLOOD, "every end of a connection is written or counted");
    assert!(counted > 0, "nothing was left out: {lines} lines");
    // Two places write ends: one those that need no one's attention, one the others.
    let lines_max = 2 * (BURST_LINES + LINES_PER_SECOND * (begun.elapsed().as_secs() + 1));
    assert!(lines as u64 <= lines_max, "{lines} lines in {:?}", begun.elapsed());
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

#[test]
fn connections_that_send_nothing_give_few_lines_and_a_count() {
    flood(|mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        // Until the server has closed: a stop would leave out what it had not accepted.
        let _ = stream.read(&mut [0]);
    });
}

#[test]
fn connections_that_are_reset_at_once_give_few_lines_and_a_count() {
    flood(|stream| {
        // Closing it then sends a reset and no end.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn wrong_keys_give_few_lines_and_a_count() {
    flood(|mut stream| {
        let _ = stream.write_all("0123456789abcdef".repeat(2).as_bytes());
        // Until the server has closed.
        let _ = stream.read(&mut [0]);
    });
}
