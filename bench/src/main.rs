//! Measures Vitalwire and, beside it in the same run, its peer: mosquitto with devices that publish over TLS-PSK.
//! Prints figures with the goals next to them; never passes or fails by a time.

mod affinity;
mod away;
mod bare;
mod beats;
mod dashboard;
mod enrolment;
mod hold;
mod link;
mod link_load;
mod load;
mod measure;
mod month;
mod mqtt;
mod ours;
mod peer;
mod process;
mod psk;
mod report;
mod subscriber;
mod web;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use crate::measure::{
    Plan, Scale, absent, alarms, comeback, cpu, handshakes, history, identify, latency, memory, readers,
    reconnect, storm, tls_cpu, tls_memory, wire,
};
use crate::report::Report;

/// Measures Vitalwire beside mosquitto, everything on the loopback interface.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// A smoke run of about a minute: shows that the benches run; its figures mean nothing.
    #[arg(long, global = true)]
    quick: bool,
    /// Also write the table to bench/RESULTS.md.
    #[arg(long, global = true)]
    write: bool,
    /// Rounds of each measurement, ours and the peer's in turn.
    #[arg(long, global = true)]
    rounds: Option<usize>,
    /// Measure only one side.
    #[arg(long, global = true, value_enum, default_value_t = Side::Both)]
    side: Side,
    /// The vitalwire binary; without this it is built first.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Both,
    Ours,
    Peer,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Everything (the default).
    All,
    /// CPU a sample of server and broker.
    Cpu,
    /// 1,000 devices that connect at once.
    Storm,
    /// Memory of 5,000 idle connections.
    Memory,
    /// From the device to the subscriber.
    Latency,
    /// CPU to find out who connects.
    Identify,
    /// Full TLS handshakes, beside a bare loop around OpenSSL.
    Handshakes,
    /// 2,000 devices on the secure link that reconnect at once.
    Reconnect,
    /// Memory of 5,000 idle connections of devices on the secure link.
    TlsMemory,
    /// CPU a sample of devices on the secure link.
    TlsCpu,
    /// Bytes a sample.
    Wire,
    /// CPU a sample with 100 readers of a device each, against one of everything.
    Readers,
    /// CPU a sample with 1,000 absent sessions, against none.
    Absent,
    /// From a value beyond its limit to the alarm's topic, and what the watch over patients costs.
    Alarms,
    /// Trends and waves out of a month of ten patients, and the memory that they take; not in `all`, for it writes some 15 GB.
    History(history::HistoryArguments),
    /// A reader that comes back to what was published while it was away.
    Return(comeback::ReturnArguments),
    /// The dashboard in a real browser, beside Node-RED's, and what its viewers cost the server.
    Dashboard(dashboard::DashboardArguments),
    /// Beats, rates and alarms found in records and simulated signals, and what finding them costs.
    Beats(beats::BeatsArguments),
    /// The subscriber's process.
    #[command(hide = true)]
    Subscriber(subscriber::SubscriberArguments),
    /// The peer's load.
    #[command(hide = true)]
    Load(load::LoadArguments),
    /// The load from which a reader is away.
    #[command(hide = true)]
    Away(away::AwayArguments),
    /// Connections to be held.
    #[command(hide = true)]
    Hold(hold::HoldArguments),
    /// A bare loop around OpenSSL.
    #[command(hide = true)]
    Bare,
    /// Handshakes and reconnections of devices on the secure link.
    #[command(hide = true)]
    LinkLoad(link_load::LinkLoadArguments),
}

/// A measurement; it adds its rows to the report.
type Measurement = fn(Plan<'_>, &mut Report);

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::parse();
    let mut comeback = comeback::ReturnArguments::default();
    let mut history = history::HistoryArguments::default();
    let measurements: &[Measurement] = match arguments.what.take().unwrap_or(What::All) {
        What::Beats(it) => return beats::run(&it, arguments.quick).map(|()| ExitCode::SUCCESS),
        What::Dashboard(it) => {
            return dashboard::run(&it, arguments.quick, arguments.side, arguments.binary)
                .map(|()| ExitCode::SUCCESS);
        }
        What::Subscriber(it) => return subscriber::serve(it).map(|()| ExitCode::SUCCESS),
        What::Load(it) => return load::serve(it).map(|()| ExitCode::SUCCESS),
        What::Away(it) => return away::serve(&it).map(|()| ExitCode::SUCCESS),
        What::Hold(it) => return hold::serve(it).map(|()| ExitCode::SUCCESS),
        What::Bare => return bare::serve().map(|()| ExitCode::SUCCESS),
        What::LinkLoad(it) => return link_load::serve(&it).map(|()| ExitCode::SUCCESS),
        What::All => &[
            cpu::measure,
            storm::measure,
            memory::measure,
            latency::measure,
            identify::measure,
            handshakes::measure,
            reconnect::measure,
            tls_memory::measure,
            tls_cpu::measure,
            wire::measure,
            readers::measure,
            absent::measure,
            comeback::measure,
            alarms::measure,
        ],
        What::Cpu => &[cpu::measure],
        What::Storm => &[storm::measure],
        What::Memory => &[memory::measure],
        What::Latency => &[latency::measure],
        What::Identify => &[identify::measure],
        What::Handshakes => &[handshakes::measure],
        What::Reconnect => &[reconnect::measure],
        What::TlsMemory => &[tls_memory::measure],
        What::TlsCpu => &[tls_cpu::measure],
        What::Wire => &[wire::measure],
        What::Readers => &[readers::measure],
        What::Absent => &[absent::measure],
        What::Alarms => &[alarms::measure],
        What::History(it) => {
            history = it;
            &[history::measure]
        }
        What::Return(it) => {
            comeback = it;
            &[comeback::measure]
        }
    };
    run(&arguments, (&comeback, &history), measurements)
}

fn run(
    arguments: &Arguments,
    (comeback, history): (&comeback::ReturnArguments, &history::HistoryArguments),
    measurements: &[Measurement],
) -> Result<ExitCode> {
    stop_all_on_signal()?;
    // 5,000 connections need more files than the usual soft limit; the processes started inherit this one.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let binary = match (arguments.side, &arguments.binary) {
        (Side::Peer, _) => None,
        (_, Some(binary)) => Some(binary.clone()),
        (_, None) => Some(ours::build()?),
    };
    let mut scale = if arguments.quick { Scale::QUICK } else { Scale::FULL };
    scale.rounds = arguments.rounds.unwrap_or(scale.rounds);
    scale.away_devices = comeback.devices.unwrap_or(scale.away_devices);
    scale.away_seconds = comeback.seconds.unwrap_or(scale.away_seconds);
    scale.history_days = history.days.unwrap_or(scale.history_days);
    let plan = Plan { scale, ours: binary.as_deref(), peer: arguments.side != Side::Ours };
    let mut report = Report::default();
    report.note(conditions(plan)?);
    report.note(EXPLANATION.into());
    let load_before = load_average();
    for measurement in measurements {
        measurement(plan, &mut report);
    }
    report.note(format!(
        "Load average of the last minute before the run {load_before}, after it {}.",
        load_average()
    ));
    let text = format!("# Vitalwire beside mosquitto\n\n{report}");
    println!("{text}");
    if arguments.write {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md"), &text)?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const EXPLANATION: &str = "Vitalwire: devices send AES-CBC frames over TCP, which its gateway identifies, decrypts, \
    checks and publishes; where a row says TLS, batches over TLS 1.3 with a pre-shared key, which it acknowledges too. Mosquitto: devices publish over TLS 1.3 with a pre-shared key; no ACL, no connection log, \
    unlimited queue unless said; `set_tcp_nodelay` except in the CPU run; seven messages in one TLS record unless \
    said. Server, devices and subscriber are processes of one machine and share its cores, except in our storm and latency, \
    which `vitalwire demo` measures in one process. One subscriber at QoS 0 where no row says otherwise.";

/// The machine, the versions and the sizes.
fn conditions(plan: Plan<'_>) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let ours = plan.ours.map(ours::version).transpose()?.unwrap_or_else(|| "ours not measured".into());
    let peer = if plan.peer { peer::version()? } else { "not measured".into() };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    Ok(format!(
        "{cores} cores ({}), Linux {}; {ours}; mosquitto {peer}; {}, for the peer's devices. Median of {} rounds \
         (smallest–largest), ours and the peer's in turn.",
        model.unwrap_or("model unknown"),
        kernel.trim(),
        openssl::version::version(),
        plan.scale.rounds,
    ))
}

/// Tells a reader whether anything else was running.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Ctrl-C or a termination stops what was started, by its ids, and ends the run.
fn stop_all_on_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    drop(guard);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        process::stop_all();
        std::process::exit(130);
    });
    Ok(())
}
