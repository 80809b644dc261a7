//! Full TLS handshakes of our server, beside a bare loop around OpenSSL with one key for everyone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Plan;
use crate::affinity::on_core;
use crate::link;
use crate::link_load::{Errand, LinkLoadArguments, LinkLoadReport, start};
use crate::ours::{Gateway, Protocol};
use crate::process::{Started, Talking, wait_for};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;
use crate::{bare, psk};

/// Connections at the same moment: enough that the server never waits for a client.
const AT_ONCE: usize = 64;
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The server's core and the clients'.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

const EXPLANATION: &str = "Full handshakes: the peer is a loop of ours around OpenSSL with one key for everybody (same \
    cipher and group, tokio on one thread). Each server on one core, the clients on another. \"A CPU second\" counts \
    only what the server's process uses, from accept to close, so it does not depend on the clients' core.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let count = plan.scale.handshakes;
    for enrolled in plan.scale.handshakes_enrolled {
        let name = |what: &str| format!("full handshakes a {what}, {enrolled} enrolled (peer: bare OpenSSL)");
        let mut cpu = Row::new(name("CPU second of the server"), "ratio ≥ 0.70");
        let mut wall = Row::new(name("second"), "");
        for round in 1..=plan.scale.rounds {
            eprintln!("handshakes: {enrolled} enrolled, round {round}");
            if let Some(binary) = plan.ours
                && let Some(rate) = report.keep("our handshakes", ours(binary, enrolled, count))
            {
                cpu.add_ours(rate.a_cpu_second);
                wall.add_ours(rate.a_second);
            }
            if plan.peer
                && let Some(rate) = report.keep("bare OpenSSL's handshakes", peer(enrolled, count))
            {
                cpu.add_peer(rate.a_cpu_second);
                wall.add_peer(rate.a_second);
            }
        }
        report.add([cpu, wall]);
    }
}

struct Rate {
    a_cpu_second: f64,
    a_second: f64,
}

fn ours(binary: &Path, enrolled: usize, count: usize) -> Result<Rate> {
    let gateway = on_core(SERVER_CORE, || Gateway::start_with(binary, enrolled, Protocol::Link))?;
    gateway.explain((|| {
        // Its login shows that the server is up.
        let _subscriber = Subscriber::start(&gateway.login, &["Pico/#"], "/Temperature")?;
        rate(&gateway.server, gateway.devices, gateway.keys(), count)
    })())
}

fn peer(enrolled: usize, count: usize) -> Result<Rate> {
    let folder = tempfile::tempdir()?;
    let links = folder.path().join("links");
    let identities = (0..enrolled).map(|_| Ok((psk::random_password()?, bare::KEY.to_vec())));
    link::write(&links, identities.collect::<Result<Vec<_>>>()?.into_iter())?;
    let mut server = on_core(SERVER_CORE, || Talking::spawn("bare OpenSSL", &["bare".into()], ""))?;
    let address = server.listen()?;
    let address =
        address.get("address").and_then(|it| it.as_str()).context("bare OpenSSL says where it is")?;
    rate(&server.process, address.parse()?, &links, count)
}

fn rate(server: &Started, target: std::net::SocketAddr, links: &Path, count: usize) -> Result<Rate> {
    let files = server.open_files()?;
    let arguments = LinkLoadArguments {
        target,
        errand: Errand::Handshake,
        count,
        at_once: AT_ONCE,
        rounds: 1,
        links: Some(links.to_owned()),
    };
    let before = server.cpu()?;
    let mut load = on_core(CLIENT_CORE, || start(&arguments))?;
    let report: LinkLoadReport = serde_json::from_value(load.listen()?)?;
    let closed = wait_for(SETTLE_TIMEOUT, || Ok((server.open_files()? <= files).then_some(())))?;
    closed.context("the server keeps connections that have ended")?;
    let cpu = server.cpu()? - before;
    Ok(Rate { a_cpu_second: count as f64 / cpu.as_secs_f64(), a_second: count as f64 / report.seconds })
}
