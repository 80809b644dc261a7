//! What is logged of a device. It has a program of its own: in one with other tests, their threads decide by themselves which lines
//! are of interest, and the first decision is kept for all.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Mutex};

use vitalwire_protocol::batch::{Event, encode_event, event_code};
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::link::batch;

const BOOT: u64 = 1;

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_normal_start_warns_no_one_and_a_lost_sensor_is_logged_with_its_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let clinic = Clinic::open().await;
    let device = clinic.enrol_link("d").await;
    let (mut connection, _) = device.greet(BOOT).await;
    let event = |code, text: &str| {
        let mut message = [0; 64];
        let len = encode_event(&Event { code, text, time_ms: 1 }, &mut message).unwrap();
        message[..len].to_vec()
    };
    connection.send(&event(event_code::STARTED, "power on")).await;
    connection.send(&batch(1)).await;
    connection.acknowledged(1).await;
    let text = log.text();
    let is_of_device = |line: &&str| line.contains("device=d") && line.contains("kind=\"device\"");
    let started = text.lines().find(is_of_device).expect("the start is logged");
    assert!(started.contains("INFO") && started.contains("power on"), "{started}");
    assert!(!text.contains("WARN"), "{text}");
    connection.send(&event(event_code::SENSOR_LOST, "DS18B20")).await;
    connection.send(&batch(2)).await;
    connection.acknowledged(2).await;
    let text = log.text();
    let lost = text.lines().rfind(is_of_device).unwrap();
    assert!(lost.contains("WARN") && lost.contains("sensor lost") && lost.contains("DS18B20"), "{lost}");
}
