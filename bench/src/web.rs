//! The dashboard's API as a program asks it: one connection a request, so that a time has all in it that a browser's first one has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::subscriber::Login;

const PATIENCE: Duration = Duration::from_secs(60);

/// Someone who is logged in.
pub(crate) struct Visitor {
    address: SocketAddr,
    cookie: String,
}

impl Visitor {
    pub(crate) fn log_in(address: SocketAddr, login: &Login) -> Result<Self> {
        let body = serde_json::json!({ "user": login.user, "password": login.password }).to_string();
        let head = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (head, _) = exchange(address, &(head + &body))?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
        });
        Ok(Self { address, cookie: cookie.context("the dashboard gave no session")?.to_owned() })
    }

    /// The body of the answer.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let Self { address, cookie } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        );
        Ok(exchange(*address, &request)?.1)
    }
}

fn exchange(address: SocketAddr, request: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the dashboard's answer has no head")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status.starts_with('2'), "the dashboard answered {status}: {body}");
    Ok((head.to_owned(), body.to_owned()))
}
