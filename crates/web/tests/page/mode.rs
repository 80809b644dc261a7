//! Configuration Mode over a modem in software: the page on real sockets, names, and a modem that restarts or is silent.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use rand_core::OsRng;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;
use vitalwire_device::modem::{State, split};
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::configure;
use vitalwire_device::status::{Activity, Status, Trouble};
use vitalwire_simulator::modem::{self, Control, Fault, Network, Surroundings, line};
use vitalwire_testing::device::RuntimeClock;
use vitalwire_testing::setup::Bench;
use vitalwire_web::CONFIGURATION_PAGE;

use crate::browser::{save, visit};

/// Patience with a slow machine, and with a modem that is started again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device in Configuration Mode.
struct Device {
    control: Control,
    status: Rc<Status<NoopRawMutex>>,
    configured: JoinHandle<Settings>,
}

impl Device {
    async fn start(faults: &[(&str, Fault)]) -> Self {
        let networks =
            [(&b"far"[..], "password", -80), (b"near\xff", "", -40)].map(|(name, password, rssi_dbm)| {
                Network { name: name.to_vec(), password: password.to_owned(), rssi_dbm }
            });
        let (modem, control) =
            modem::modem(Surroundings { networks: networks.to_vec(), ..Surroundings::default() });
        for (command, fault) in faults {
            control.fault(command, *fault).await;
        }
        let (rx, tx, far) = line();
        spawn_local(modem.run(far));
        let status = Rc::new(Status::new());
        let configured = spawn_local({
            let status = Rc::clone(&status);
            async move {
                let (mut bench, mut state, clock) =
                    (Bench::new(CONFIGURATION_PAGE), State::new(), RuntimeClock::start());
                let (store, about) = bench.parts(&["192.168.4.1"]);
                let (mut receiver, modem) = split(&mut state, rx, tx, clock);
                tokio::select! {
                    settings = configure(&modem, store, about, clock, OsRng, &status) => settings,
                    error = receiver.run() => panic!("the line ended: {error:?}"),
                }
            }
        });
        Self { control, status, configured }
    }

    /// Where the page is, once it is.
    async fn page(&self) -> SocketAddr {
        self.page_after(0).await
    }

    /// Where the page is, once the modem has started more often than so and serves it.
    async fn page_after(&self, starts: u32) -> SocketAddr {
        let listens = self.control.status_when(|status| status.starts > starts && status.tcp.is_some());
        let status = timeout(PATIENCE, listens).await.expect("it listens in time").expect("the modem runs");
        status.tcp.expect("it listens").1
    }

    async fn settings(self) -> Settings {
        timeout(PATIENCE, self.configured).await.expect("it ends in time").expect("it does not panic")
    }
}

fn settings() -> Settings {
    Settings::new("gateway.example", 9_998, b"near\xff", "").expect("they are right")
}

#[tokio::test]
async fn a_device_serves_its_page_on_its_own_network_until_settings_are_saved() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            let page = device.page().await;
            let network = device.control.status().access_point.expect("it is open");
            assert_eq!((network.name.as_slice(), network.stations_max), (&b"Med_IoT"[..], 1));
            let state = visit(page).await;
            assert_eq!(state["networks"], serde_json::json!([["6e656172ff", -40, 0], ["666172", -80, 1]]));
            assert_eq!(device.status.activity(), Activity::Configuring);
            assert_eq!(save(page, &settings()).await, serde_json::json!({"saved": true}));
            assert_eq!(device.settings().await, settings());
        })
        .await;
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_the_page_from_others() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            let page = device.page().await;
            let mut silent = Vec::new();
            for _ in 0..2 {
                silent.push(TcpStream::connect(page).await.expect("it is taken"));
            }
            visit(page).await;
            // With these none is left, until they are given up.
            silent.push(TcpStream::connect(page).await.expect("it is taken"));
            timeout(PATIENCE, visit(page)).await.expect("it is served in the end");
        })
        .await;
}

#[tokio::test]
async fn every_name_is_the_device() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            let asked = device.control.status_when(|status| !status.udp.is_empty());
            let status = timeout(PATIENCE, asked).await.expect("in time").expect("the modem runs");
            let names = status.udp.get(&53).expect("it answers names");
            let phone = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
            let mut answer = [0; 512];
            for id in 0..3 {
                let query = [&[0, id][..], b"\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01"].concat();
                // What is no query gets no answer, and keeps no one from one.
                phone.send_to(b"noise", names).await.expect("it is sent");
                phone.send_to(&query, names).await.expect("it is sent");
                let len =
                    timeout(PATIENCE, phone.recv(&mut answer)).await.expect("in time").expect("it comes");
                assert!(answer[..len].ends_with(&[192, 168, 4, 1]), "{:?}", &answer[..len]);
                assert_eq!(answer[..2], [0, id]);
            }
        })
        .await;
}

#[tokio::test]
async fn the_page_comes_back_after_the_modem_restarted() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            visit(device.page().await).await;
            let starts = device.control.status().starts;
            device.control.restart().await;
            let page = device.page_after(starts).await;
            assert_eq!(save(page, &settings()).await, serde_json::json!({"saved": true}));
            assert_eq!(device.settings().await, settings());
        })
        .await;
}

/// The supply of the modem fails for a moment, and what it says afterwards is lost, with the first answer.
#[tokio::test]
async fn the_page_comes_back_after_a_restart_that_no_one_heard() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            visit(device.page().await).await;
            let starts = device.control.status().starts;
            device.control.lose(64).await;
            device.control.restart().await;
            // Nothing real happens until the device asks.
            tokio::time::pause();
            let page = device.page_after(starts).await;
            tokio::time::resume();
            assert_eq!(save(page, &settings()).await, serde_json::json!({"saved": true}));
            assert_eq!(device.settings().await, settings());
        })
        .await;
}

#[tokio::test]
async fn a_modem_that_refuses_is_said_and_tried_again() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[("AT+CWSAP", Fault::Refuse)]).await;
            let page = device.page().await;
            assert_eq!(device.status.trouble(), Some(Trouble::Modem));
            visit(page).await;
            assert_eq!(device.status.activity(), Activity::Configuring);
        })
        .await;
}

#[tokio::test]
async fn a_scan_that_fails_costs_the_list_of_networks_and_nothing_else() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[("AT+CWLAP", Fault::Refuse)]).await;
            let state = visit(device.page().await).await;
            assert_eq!(state["networks"], serde_json::json!([]));
        })
        .await;
}

#[tokio::test]
async fn a_page_that_was_sent_half_is_asked_for_again() {
    LocalSet::new()
        .run_until(async {
            let device = Device::start(&[]).await;
            let page = device.page().await;
            for fault in [Fault::SendFail, Fault::CloseInSend, Fault::LoseSendOk, Fault::LosePrompt] {
                device.control.fault("AT+CIPSEND", fault).await;
                let request = b"GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n";
                // Whatever came of it, the connection ended.
                let _ = timeout(PATIENCE, crate::browser::ask(page, request)).await.expect("it ends");
                timeout(PATIENCE, visit(page)).await.expect("it is there again");
            }
        })
        .await;
}
