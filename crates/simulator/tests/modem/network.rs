//! Starting, scanning, joining, and what is left of it when the network or the modem goes.

use heapless::Vec;
use vitalwire_device::modem::{JoinError, ModemError, SeenNetwork};
use vitalwire_simulator::modem::{Fault, Firmware, Network};

use super::{NAME, PASSWORD, both_firmwares, network, on_network, start_and_join, surroundings, with_modem};

#[tokio::test]
async fn starts_joins_and_stores_nothing_in_the_modem() {
    for surroundings in both_firmwares() {
        let major = if surroundings.firmware == Firmware::At1 { "1.7" } else { "2.2" };
        with_modem(surroundings, async |driver, bench| {
            assert!(!driver.is_started());
            assert_eq!(driver.scan(&mut Vec::new()).await, Err(ModemError::NotStarted));
            assert!(driver.start().await.unwrap().at.starts_with(major));
            assert!(driver.is_started() && !driver.is_joined());
            driver.lost().await;
            assert_eq!(driver.address().await, Err(ModemError::NoAddress));
            driver.join(NAME, PASSWORD).await.unwrap();
            assert_eq!(driver.address().await.unwrap(), "192.168.77.23");
            driver.open_access_point("Med_IoT", Some("label password")).await.unwrap();
            let status = bench.control.status();
            assert_eq!((status.joined.as_deref(), status.stored), (Some(NAME), 0));
            assert_eq!(status.access_point.unwrap().stations_max, 1);
            driver.leave().await;
            assert!(!driver.is_joined());
            // Once more, from whatever state it is in.
            driver.start().await.unwrap();
            let status = bench.control.status();
            assert_eq!((status.access_point, status.starts, status.stored), (None, 1, 0));
        })
        .await;
    }
}

#[tokio::test]
async fn says_why_a_network_was_not_joined() {
    for surroundings in both_firmwares() {
        with_modem(surroundings, async |driver, bench| {
            driver.start().await.unwrap();
            assert_eq!(driver.join(NAME, "wrong password").await, Err(JoinError::WrongPassword));
            assert_eq!(driver.join(b"Ward 4", PASSWORD).await, Err(JoinError::NotFound));
            let unsendable = Err(JoinError::Modem(ModemError::Unsendable));
            assert_eq!(driver.join(b"Ward\r\nAT+RST", PASSWORD).await, unsendable);
            bench.control.fault("AT+CWJAP", Fault::Refuse).await;
            assert_eq!(driver.join(NAME, PASSWORD).await, Err(JoinError::Failed));
            assert!(!driver.is_joined());
            driver.join(NAME, PASSWORD).await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn sees_networks_whatever_their_names() {
    let names: [&[u8]; 6] = [
        b"plain",
        b"caf\xe9 \xff\x01",
        b"a\",-9,\"b,c\\",
        b"\",-1,\"02:00:00:00:00:00\",",
        b"+IPD,0,5:",
        b"",
    ];
    for mut surroundings in both_firmwares() {
        surroundings.networks = (names.iter().zip(1..))
            .map(|(name, at)| Network {
                name: name.to_vec(),
                password: "x".repeat(at % 2 * 8),
                rssi_dbm: -40,
            })
            .collect();
        with_modem(surroundings, async |driver, _| {
            driver.start().await.unwrap();
            let mut seen = Vec::new();
            driver.scan(&mut seen).await.unwrap();
            let found: std::vec::Vec<_> = seen.iter().map(|one| (one.name.as_slice(), one.secured)).collect();
            let secured = [true, false, true, false, true];
            assert_eq!(found, names.into_iter().zip(secured).collect::<std::vec::Vec<_>>());
            driver.join(names[2], "xxxxxxxx").await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn of_many_networks_those_received_best_are_seen_once() {
    let mut surroundings = surroundings();
    surroundings.networks = (0..60)
        .map(|at: i8| Network {
            name: format!("network {}", at / 2).into_bytes(),
            password: String::new(),
            rssi_dbm: -90 + at,
        })
        .collect();
    with_modem(surroundings, async |driver, _| {
        driver.start().await.unwrap();
        let mut seen: Vec<SeenNetwork, 16> = Vec::new();
        driver.scan(&mut seen).await.unwrap();
        let mut strengths: std::vec::Vec<_> = seen.iter().map(|one| one.rssi_dbm).collect();
        strengths.sort_unstable();
        assert_eq!(strengths, (0..16).map(|at| -61 + 2 * at).collect::<std::vec::Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn notices_that_the_network_is_gone_and_joins_it_again() {
    on_network(surroundings(), async |driver, bench| {
        let ((), ()) = tokio::join!(driver.lost(), bench.control.set_networks(vec![]));
        assert!(driver.is_started() && !driver.is_joined());
        assert_eq!(driver.join(NAME, PASSWORD).await, Err(JoinError::NotFound));
        bench.control.set_networks(vec![network()]).await;
        driver.join(NAME, PASSWORD).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn notices_a_restart_and_starts_again() {
    on_network(surroundings(), async |driver, bench| {
        let ((), (), ()) = tokio::join!(driver.lost(), driver.restarted(), bench.control.restart());
        assert_eq!(driver.address().await, Err(ModemError::NotStarted));
        assert_eq!(driver.listen(80).await, Err(ModemError::NotStarted));
        start_and_join(driver).await;
        // In the middle of a command.
        bench.control.fault("AT+CIFSR", Fault::Restart).await;
        assert_eq!(driver.address().await, Err(ModemError::NotStarted));
        start_and_join(driver).await;
        bench.control.fault("AT+CWJAP", Fault::Restart).await;
        assert_eq!(driver.join(NAME, PASSWORD).await, Err(ModemError::NotStarted.into()));
        start_and_join(driver).await;
        // While it is started.
        bench.control.fault("AT+CIPMUX", Fault::Restart).await;
        start_and_join(driver).await;
    })
    .await;
}

#[tokio::test]
async fn a_restart_that_no_one_heard_is_found_by_asking() {
    for surroundings in both_firmwares() {
        on_network(surroundings, async |driver, bench| {
            driver.check().await.unwrap();
            bench.control.fault("AT+CIPMUX?", Fault::Refuse).await;
            driver.check().await.unwrap();
            // Its noise and its `ready`.
            bench.control.lose(27).await;
            bench.control.restart().await;
            bench.control.status_when(|status| status.starts == 2).await.unwrap();
            assert!(driver.is_started());
            assert_eq!(driver.check().await, Err(ModemError::NotStarted));
            driver.restarted().await;
            start_and_join(driver).await;
            driver.check().await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_modem_that_refuses_to_start_is_restarted() {
    with_modem(surroundings(), async |driver, bench| {
        bench.control.fault("AT+CIPMUX", Fault::Refuse).await;
        start_and_join(driver).await;
        assert_eq!(bench.control.status().starts, 2);
    })
    .await;
}

#[tokio::test]
async fn a_busy_modem_is_asked_again() {
    with_modem(surroundings(), async |driver, bench| {
        for command in ["AT", "ATE0", "AT+GMR", "AT+CWMODE", "AT+CWJAP", "AT+CIFSR"] {
            bench.control.fault(command, Fault::Busy).await;
        }
        start_and_join(driver).await;
        driver.address().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_network_that_the_modem_remembers_is_not_the_one_it_was_told() {
    with_modem(surroundings(), async |driver, bench| {
        driver.start().await.unwrap();
        bench.control.say(b"WIFI CONNECTED\r\nWIFI GOT IP\r\n").await;
        assert_eq!(driver.address().await, Err(ModemError::NoAddress));
        assert!(!driver.is_joined());
        driver.join(NAME, PASSWORD).await.unwrap();
        // That one may come back by itself.
        bench.control.say(b"WIFI DISCONNECT\r\n").await;
        driver.lost().await;
        bench.control.say(b"WIFI CONNECTED\r\nWIFI GOT IP\r\n").await;
        driver.address().await.unwrap();
        assert!(driver.is_joined());
    })
    .await;
}
