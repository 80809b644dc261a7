//! The firmware's collector over the firmware's modem driver and a modem in software, to the same server: nothing that the
//! modem or its network does costs a sample, and what fails has its name.

use vitalwire_device::collector;
use vitalwire_device::modem::{self as driver, Modem};
use vitalwire_device::settings::Settings;
use vitalwire_device::status::{Activity, Trouble};
use vitalwire_simulator::modem::{Control, Fault, Firmware, LineWriter, Network, Surroundings, line, modem};

use crate::collector::{Device, HostClock, PORT, SERVER, WIFI_NAME, WIFI_PASSWORD, held, no_flash};
use crate::server::{Manner, Server};
use crate::{key, keys};

type WifiDevice<'s> = Device<Modem<'s, LineWriter, HostClock>>;

fn network(password: &str) -> Network {
    Network { name: WIFI_NAME.to_vec(), password: password.to_owned(), rssi_dbm: -52 }
}

/// Runs boot 7 of a device on a modem, with this network in reach and a good server.
async fn with_device(
    firmware: Firmware,
    password: &str,
    story: impl AsyncFnOnce(&WifiDevice<'_>, &Control, &mut Server),
) {
    let mut server = Server::start(keys(1), vec![Manner::Good(Vec::new())]).await;
    let hosts = [((SERVER.to_owned(), PORT), server.address)].into();
    let surroundings =
        Surroundings { firmware, networks: vec![network(password)], hosts, ..Surroundings::default() };
    let (modem, control) = modem(surroundings);
    let (hears, says, end) = line();
    let modem = tokio::spawn(modem.run(end));
    let (mut state, clock) = (driver::State::new(), HostClock::start());
    let (mut receiver, modem_driver) = driver::split(&mut state, hears, says, clock);
    let device = Device::new(7, clock, modem_driver, no_flash());
    tokio::select! {
        error = receiver.run() => panic!("the line failed: {error:?}"),
        () = device.run(key(0).1, story(&device, &control, &mut server)) => {}
    }
    modem.abort();
}

/// Waits until the server has so many more batches than now.
async fn more(server: &mut Server, batches: u64) {
    let before = held(&server.journal.lock().unwrap(), 7);
    server.until("more batches come", |journal| held(journal, 7) >= before + batches).await;
}

#[tokio::test]
async fn nothing_that_befalls_the_modem_costs_a_sample() {
    for firmware in [Firmware::At1, Firmware::At2] {
        with_device(firmware, WIFI_PASSWORD, async |device, control, server| {
            more(server, 5).await;
            assert_eq!((device.status.activity(), device.status.trouble()), (Activity::Delivering, None));
            for fault in [Fault::SendFail, Fault::CloseInSend, Fault::RestartInSend, Fault::Busy] {
                control.fault("AT+CIPSEND", fault).await;
                more(server, 5).await;
            }
            control.restart().await;
            more(server, 5).await;
            control.set_networks(Vec::new()).await;
            device.tells(Some(Trouble::WifiNotFound)).await;
            control.set_networks(vec![network(WIFI_PASSWORD)]).await;
            more(server, 5).await;
            control.say(b"\r\n+IPD,0,9999:\r\nERROR\r\n\xff\xfe").await;
            more(server, 5).await;
            let journal = server.journal.lock().unwrap();
            assert!(device.check(&journal, 7) > 0);
            assert_eq!(device.shared.with_outbox(|outbox| outbox.dropped()), 0);
        })
        .await;
    }
}

/// The supply of the modem fails for a moment, and no one hears its `ready`: it has one link only now, and no network.
#[tokio::test]
async fn a_restart_of_the_modem_that_no_one_heard_costs_no_sample() {
    for firmware in [Firmware::At1, Firmware::At2] {
        with_device(firmware, WIFI_PASSWORD, async |device, control, server| {
            more(server, 2).await;
            control.lose(64).await;
            control.restart().await;
            more(server, 5).await;
            let journal = server.journal.lock().unwrap();
            assert!(device.check(&journal, 7) > 0);
        })
        .await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_the_right_one_needs_no_restart() {
    for firmware in [Firmware::At1, Firmware::At2] {
        with_device(firmware, "another password", async |device, control, server| {
            device.tells(Some(Trouble::WifiPassword)).await;
            control.set_networks(Vec::new()).await;
            device.tells(Some(Trouble::WifiNotFound)).await;
            control.set_networks(vec![network(WIFI_PASSWORD)]).await;
            device.tells(None).await;
            more(server, 2).await;
            // The modem keeps no password.
            assert_eq!(control.status().stored, 0);
        })
        .await;
    }
}

#[tokio::test]
async fn names_that_no_modem_can_be_told_are_not_blamed_on_the_modem() {
    with_device(Firmware::At2, "another password", async |device, control, _| {
        device.tells(Some(Trouble::WifiPassword)).await;
        let server = format!("{}.example", ["a"; 120].join("."));
        let settings = Settings::new(&server, 9_998, b"Ward\n3", "").unwrap();
        assert_eq!(collector::Network::join(&device.network, &settings).await, Err(Trouble::WifiNotFound));
        assert_eq!(
            collector::Network::connect(&device.network, &settings).await.err(),
            Some(Trouble::ServerUnreachable)
        );
        assert_eq!(control.status().starts, 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_away_is_told_and_found_when_it_is_back() {
    with_device(Firmware::At2, WIFI_PASSWORD, async |device, control, server| {
        for _ in 0..12 {
            control.fault("AT+CIPSTART", Fault::Refuse).await;
        }
        device.tells(Some(Trouble::ServerUnreachable)).await;
        device.tells(None).await;
        more(server, 2).await;
    })
    .await;
}
