//! From the first value beyond its limit to the alarm on its topic, without the condition's delay; and how much of a core the watch
//! over all patients takes.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};

use super::cpu::LOAD_SECONDS;
use super::{Plan, RATE_HZ};
use crate::enrolment::{SAMPLE_JSON, device_index, secret};
use crate::ours::Gateway;
use crate::process::wait_for;
use crate::report::{Report, Row, percentile_ms};
use crate::subscriber::Subscription;

/// Patients who get a fever, at most; the others are the load.
const FEVERS_MAX: usize = 50;
/// Of a fever, by default.
const DELAY: Duration = Duration::from_secs(15);
/// Before the fevers begin.
const SETTLE: Duration = Duration::from_secs(15);
/// Fevers do not begin at the same moment.
const APART: Duration = Duration::from_millis(37);
const RAISED_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let Some(binary) = plan.ours else { return };
    for devices in plan.scale.alarms_devices {
        let name = |what: &str| format!("{devices} × 20 Hz, AES-CBC frames: {what}");
        let mut p50 = Row::new(name("fever to the alarm's topic beyond its delay, p50, ms"), "");
        let mut p99 = Row::new(name("the same, p99, ms"), "≤ 1500");
        let mut core = Row::new(name("watch over patients, % of a core"), "≤ 10 at 1,000");
        let mut sample = Row::new(name("watch over patients, µs a sample"), "");
        for round in 1..=plan.scale.rounds {
            eprintln!("alarms: {devices} devices, round {round}");
            let measured = Gateway::start(binary, devices)
                .and_then(|gateway| gateway.explain(self::round(&gateway, devices)));
            let Some(outcome) = report.keep("our alarms", measured) else { continue };
            p50.add_ours(percentile_ms(&outcome.latencies_ns, 0.5));
            p99.add_ours(percentile_ms(&outcome.latencies_ns, 0.99));
            core.add_ours(outcome.core_share * 100.0);
            sample.add_ours(outcome.core_share * 1e6 / (devices as f64 * RATE_HZ));
        }
        report.add([p50, p99, core, sample]);
    }
}

struct Outcome {
    /// In order.
    latencies_ns: Vec<u64>,
    core_share: f64,
}

/// When the alarm of each device came.
type Raised = Arc<Mutex<HashMap<usize, Instant>>>;

fn round(gateway: &Gateway, devices: usize) -> Result<Outcome> {
    let raised = Raised::default();
    let subscription = Subscription::open(&gateway.login, "bench-alarms", &["vitalwire/v1/+/alarm".into()])?;
    let noted = Arc::clone(&raised);
    // Ends with the server.
    thread::spawn(move || subscription.run(|topic, payload, _| note(&noted, topic, payload)));
    let fevers = devices.min(FEVERS_MAX);
    let first = devices - fevers;
    let _fleet = (first > 0).then(|| gateway.fleet(first, RATE_HZ, LOAD_SECONDS)).transpose()?;
    let begin = Instant::now() + SETTLE;
    let patients: Vec<_> = (0..fevers)
        .map(|place| {
            let stream = TcpStream::connect(gateway.devices)?;
            stream.set_nodelay(true)?;
            let from = begin + APART * u32::try_from(place)?;
            anyhow::Ok(thread::spawn(move || suffer(stream, first + place, from)))
        })
        .collect::<Result<_>>()?;
    thread::sleep(begin.saturating_duration_since(Instant::now()));
    let (busy_us, since) = (busy_us(gateway)?, Instant::now());
    let all = || raised.lock().unwrap_or_else(PoisonError::into_inner).len() >= fevers;
    wait_for(RAISED_TIMEOUT, || Ok(all().then_some(())))?.context("a fever raised no alarm")?;
    let busy = self::busy_us(gateway)? - busy_us;
    let core_share = busy / 1e6 / since.elapsed().as_secs_f64();
    let raised = raised.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut latencies_ns = Vec::new();
    for (place, patient) in patients.into_iter().enumerate() {
        let crossed = patient.join().ok().context("a patient's thread failed")??;
        let at = raised.get(&(first + place)).context("a fever raised no alarm")?;
        latencies_ns.push(u64::try_from(at.saturating_duration_since(crossed + DELAY).as_nanos())?);
    }
    latencies_ns.sort_unstable();
    Ok(Outcome { latencies_ns, core_share })
}

fn note(raised: &Raised, topic: &[u8], payload: &[u8]) {
    let id = topic.split(|byte| *byte == b'/').nth(2).and_then(device_index);
    let is_fever = payload.windows(16).any(|words| words == b"temperature-high");
    if let Some(device) = id.filter(|_| is_fever) {
        raised.lock().unwrap_or_else(PoisonError::into_inner).entry(device).or_insert_with(Instant::now);
    }
}

/// Sends samples at the usual rate, from this moment on with a fever, until its alarm must have come; when the first of these was
/// written.
fn suffer(mut stream: TcpStream, device: usize, from: Instant) -> Result<Instant> {
    let (key, iv) = secret(device);
    let secret = CbcSecret::new(key, iv);
    let frame = |json: &str| -> Result<Vec<u8>> {
        let mut frame = vec![0; FRAME_LEN_MAX];
        let len = FrameEncoder::new(&secret, Variant::Chained).encode(json.as_bytes(), &mut frame)?;
        frame.truncate(len);
        Ok(frame)
    };
    let (well, ill) = (frame(SAMPLE_JSON)?, frame(&SAMPLE_JSON.replace("36.600", "39.500"))?);
    let period = Duration::from_secs_f64(1.0 / RATE_HZ);
    let (mut next, mut crossed) = (Instant::now(), None);
    let end = from + DELAY + Duration::from_secs(4);
    while next < end {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let is_ill = next >= from;
        if is_ill {
            crossed.get_or_insert_with(Instant::now);
        }
        stream.write_all(if is_ill { &ill } else { &well })?;
        next += period;
    }
    crossed.context("a fever never began")
}

/// For how long the server has watched so far, in microseconds.
fn busy_us(gateway: &Gateway) -> Result<f64> {
    const NAME: &str = "vitalwire_surveillance_busy_microseconds_total ";
    let mut stream = TcpStream::connect(gateway.metrics)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let line = answer.lines().find_map(|line| line.strip_prefix(NAME));
    let value: f64 = line.context("the server does not say how long it watched")?.trim().parse()?;
    ensure!(value.is_finite(), "the server says {value}");
    Ok(value)
}
