//! `vitalwire healthcheck`: asks a running server whether it is ready, for containers and supervisors. Needs no other program.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::config::{Layers, SettingArgs};
use crate::output::{Output, even_if_closed};

const EXAMPLES: &str = "\
Examples:
  vitalwire healthcheck
  vitalwire healthcheck --data ./data
  vitalwire healthcheck --url http://127.0.0.1:9090/healthz

It takes the settings of `vitalwire serve` and asks the address of its metrics:
/readyz is fine when devices are served, the journal takes what they send and
the MQTT broker is there. Exit status 0 when it is ready, 1 when it is not.";

/// For connecting, and for each wait for more bytes.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of an answer; ours has some 200 bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
const HEADERS_MAX: usize = 32;

/// Arguments of `vitalwire healthcheck`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HealthcheckArgs {
    /// What to ask [default: /readyz at the server's --metrics-listen]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingArgs<false>,
}

/// Runs `vitalwire healthcheck`.
///
/// # Errors
/// When no one answers, or it is not known whom to ask.
pub(crate) fn run(args: &HealthcheckArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => own_url(Layers::load(&args.settings)?.metrics())?,
    };
    let (status, words) = ask(&url).with_context(|| format!("{url} does not answer"))?;
    // The status is the verdict: that no one reads the line changes nothing.
    even_if_closed(writeln!(out, "{}", if words.is_empty() { status.to_string() } else { words }))?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn own_url(metrics: Option<SocketAddr>) -> anyhow::Result<String> {
    let Some(mut address) = metrics else {
        bail!("metrics are off, so there is no address to ask: set --metrics-listen, or name one with --url");
    };
    if address.port() == 0 {
        bail!(
            "the system chose the port of --metrics-listen: name it with --url http://127.0.0.1:PORT/readyz"
        );
    }
    // What listens everywhere is asked here.
    address.set_ip(match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    });
    Ok(format!("http://{address}/readyz"))
}

/// The status of the answer, and the first line of its body.
fn ask(url: &str) -> anyhow::Result<(u16, String)> {
    let (host, path) = split(url).context("write http://HOST:PORT/PATH; TLS is not spoken here")?;
    let address = host.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    read(&answer)
}

/// `HOST:PORT` and the path.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (host.contains(':') && is_word(rest)).then_some((host, if path.is_empty() { "/" } else { path }))
}

fn read(answer: &[u8]) -> anyhow::Result<(u16, String)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).context("this is not HTTP")?;
    let (httparse::Status::Complete(head), Some(status)) = (parsed, response.code) else {
        bail!("the answer was cut off");
    };
    let body = String::from_utf8_lossy(answer.get(head..).unwrap_or_default());
    // It may come from any server: a terminal acts on control characters.
    let words = body.lines().next().unwrap_or_default().chars().filter(|letter| !letter.is_control());
    Ok((status, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        let url = |text: &str| own_url(Some(text.parse().unwrap())).unwrap();
        assert_eq!(url("127.0.0.1:9090"), "http://127.0.0.1:9090/readyz");
        assert_eq!(url("0.0.0.0:9090"), "http://127.0.0.1:9090/readyz");
        assert_eq!(url("[::]:9090"), "http://[::1]:9090/readyz");
    }

    #[test]
    fn without_an_address_the_message_says_what_to_name() {
        assert!(own_url(None).unwrap_err().to_string().contains("--url"));
        let chosen = own_url(Some(([127, 0, 0, 1], 0).into())).unwrap_err();
        assert!(chosen.to_string().contains("--url"), "{chosen}");
    }

    #[test]
    fn urls_are_split_and_others_refused() {
        assert_eq!(split("http://127.0.0.1:9090/readyz"), Some(("127.0.0.1:9090", "/readyz")));
        assert_eq!(split("http://[::1]:9090"), Some(("[::1]:9090", "/")));
        for wrong in ["https://a:1/", "http://a/", "a:1", "http://a:1/x y", "http://a:1/\r\nHost: b"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_anywhere_gives_no_wrong_status() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\n\r\naway\x1b\n";
        assert_eq!(read(whole).unwrap(), (503, "away".to_owned()));
        for end in 0..whole.len() {
            let cut = read(&whole[..end]);
            assert!(cut.is_err() || cut.is_ok_and(|(status, _)| status == 503), "cut at {end}");
        }
        assert!(read(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
