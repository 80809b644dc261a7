//! The device's own network: who connects to it, and its datagrams.

use embedded_io_async::{Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use vitalwire_device::modem::{ConnectError, LINKS_MAX, ModemError, SocketError};
use vitalwire_simulator::modem::{AccessPoint, Fault};

use super::{Bench, Driver, both_firmwares, surroundings, with_modem};

async fn serve(driver: &Driver<'_, '_>, bench: &Bench) -> std::net::SocketAddr {
    driver.start().await.unwrap();
    driver.open_access_point("Med_IoT", None).await.unwrap();
    driver.listen(80).await.unwrap();
    let (port, really) = bench.control.status().tcp.unwrap();
    assert_eq!(port, 80);
    really
}

#[tokio::test]
async fn serves_one_request_after_another() {
    for surroundings in both_firmwares() {
        with_modem(surroundings, async |driver, bench| {
            let address = serve(driver, bench).await;
            // Saying it again changes nothing.
            driver.listen(80).await.unwrap();
            for round in 0..2 * LINKS_MAX {
                let client = async {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await.unwrap();
                    assert_eq!(answer.len(), 7_000);
                };
                let server = async {
                    let mut socket = driver.accept().await.unwrap();
                    let mut request = [0; 18];
                    socket.read_exact(&mut request).await.unwrap();
                    assert_eq!(&request, b"GET / HTTP/1.1\r\n\r\n");
                    socket.write_all(&[b'x'; 7_000]).await.unwrap();
                    // Every second one is dropped, and closed by the next command.
                    if round % 2 == 0 {
                        socket.close().await;
                    }
                };
                let accepts_on = async {
                    server.await;
                    tokio::select! {
                        _ = driver.accept() => panic!("no one else connects"),
                        _ = bench.control.status_when(|status| status.links == 0) => {}
                    }
                };
                tokio::join!(client, accepts_on);
            }
        })
        .await;
    }
}

#[tokio::test]
async fn takes_one_station_and_refuses_a_second() {
    with_modem(surroundings(), async |driver, bench| {
        let address = serve(driver, bench).await;
        let open = AccessPoint { name: b"Med_IoT".to_vec(), password: None, stations_max: 1 };
        assert_eq!(bench.control.status().access_point, Some(open));
        let first = TcpStream::connect(address).await.unwrap();
        let _first = driver.accept().await.unwrap();
        let second = TcpSocket::new_v4().unwrap();
        second.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut second = second.connect(address).await.unwrap();
        assert!(matches!(second.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        // More of the first station.
        let again = TcpStream::connect(address).await.unwrap();
        let _again = driver.accept().await.unwrap();
        assert_eq!(bench.control.status().links, 2);
        drop((first, again));
    })
    .await;
}

#[tokio::test]
async fn who_leaves_before_it_was_accepted_takes_no_link() {
    with_modem(surroundings(), async |driver, bench| {
        let address = serve(driver, bench).await;
        for _ in 0..2 * LINKS_MAX {
            drop(TcpStream::connect(address).await.unwrap());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"here").await.unwrap();
        let mut text = [0; 4];
        while driver.accept().await.unwrap().read_exact(&mut text).await.is_err() {}
        assert_eq!(&text, b"here");
    })
    .await;
}

#[tokio::test]
async fn an_old_socket_does_not_read_what_is_for_the_next() {
    with_modem(surroundings(), async |driver, bench| {
        let address = serve(driver, bench).await;
        let leaves = TcpStream::connect(address).await.unwrap();
        let mut old = driver.accept().await.unwrap();
        drop(leaves);
        bench.control.status_when(|status| status.links == 0).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"secret").await.unwrap();
        let mut new = driver.accept().await.unwrap();
        assert!(matches!(old.read(&mut [0; 6]).await, Ok(0) | Err(SocketError::Closed)));
        assert_eq!(old.write(b"x").await, Err(SocketError::Closed));
        old.close().await;
        drop(old);
        let mut text = [0; 6];
        new.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"secret");
        new.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn accepting_ends_when_the_modem_restarts() {
    with_modem(surroundings(), async |driver, bench| {
        serve(driver, bench).await;
        let (accepted, ()) = tokio::join!(driver.accept(), bench.control.restart());
        assert_eq!(accepted.err(), Some(ModemError::NotStarted));
        let address = serve(driver, bench).await;
        let _stream = TcpStream::connect(address).await.unwrap();
        driver.accept().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn datagrams_keep_their_ends_and_answers_go_to_who_asked() {
    for surroundings in both_firmwares() {
        with_modem(surroundings, async |driver, bench| {
            driver.start().await.unwrap();
            driver.open_access_point("Med_IoT", None).await.unwrap();
            let mut port = driver.open_datagrams(53).await.unwrap();
            let really = bench.control.status().udp[&53];
            let mut bytes = [0; 64];
            for round in 0..3 {
                let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                phone.connect(really).await.unwrap();
                phone.send(&[b'?'; 40][..30 + round]).await.unwrap();
                let len = port.receive(&mut bytes).await.unwrap();
                assert_eq!(&bytes[..len], &[b'?'; 40][..30 + round]);
                if round == 1 {
                    // One that cannot be sent is lost like any other.
                    bench.control.fault("AT+CIPSEND", Fault::SendFail).await;
                    port.reply(b"lost").await.unwrap();
                }
                port.reply(b"192.168.4.1").await.unwrap();
                let len = phone.recv(&mut bytes).await.unwrap();
                assert_eq!(&bytes[..len], b"192.168.4.1");
                // Two at once, and one that is too long for the buffer.
                phone.send(b"first").await.unwrap();
                phone.send(&[b's'; 100]).await.unwrap();
                assert_eq!(port.receive(&mut bytes).await, Ok(5));
                assert_eq!(port.receive(&mut bytes).await, Ok(64));
            }
            let (ended, ()) = tokio::join!(port.receive(&mut bytes), bench.control.restart());
            assert_eq!(ended, Err(SocketError::Lost));
            drop(port);
            assert!(matches!(
                driver.connect("x", 1).await.err(),
                Some(ConnectError::Modem(ModemError::NotStarted))
            ));
        })
        .await;
    }
}
