//! Connections that the device opens.

use embedded_io_async::{Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vitalwire_device::modem::{ConnectError, LINK_BUFFER_LEN, LINKS_MAX, ModemError, SocketError};
use vitalwire_simulator::modem::{Fault, Firmware};

use super::{both_firmwares, echo_server, on_network, surroundings, with_modem};

const LONG: usize = 20_000;

fn pattern(len: usize) -> Vec<u8> {
    // Bytes of all values, with line ends, prompts and what looks like the modem among them.
    let mut bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    for (at, text) in
        (0..len).step_by(997).zip([&b"\r\nOK\r\n"[..], b"\r\nready\r\n", b"> ", b"+IPD,4,9:"].iter().cycle())
    {
        let end = (at + text.len()).min(len);
        bytes[at..end].copy_from_slice(&text[..end - at]);
    }
    bytes
}

#[tokio::test]
async fn bytes_arrive_both_ways_at_once_however_the_line_cuts_them() {
    let address = echo_server().await;
    for surroundings in both_firmwares() {
        for piece_len in [0, 1, 7] {
            on_network(surroundings.clone(), async |driver, bench| {
                bench.control.set_pieces(piece_len).await;
                let mut writer = driver.connect("127.0.0.1", address.port()).await.unwrap();
                let mut reader = writer.clone();
                let (sent, mut received) = (pattern(LONG), vec![0; LONG]);
                let send = async {
                    for piece in sent.chunks(1_300) {
                        writer.write_all(piece).await.unwrap();
                    }
                };
                let (came, ()) = tokio::join!(reader.read_exact(&mut received), send);
                came.unwrap();
                assert!(received == sent, "bytes changed on the way");
                writer.close().await;
                assert_eq!(reader.read(&mut received).await, Ok(0));
                assert_eq!(writer.write(b"x").await, Err(SocketError::Closed));
            })
            .await;
        }
    }
}

#[tokio::test]
async fn says_why_it_could_not_connect() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for surroundings in both_firmwares() {
        let says_no_ip = surroundings.firmware == Firmware::At1;
        with_modem(surroundings, async |driver, _| {
            driver.start().await.unwrap();
            let early = driver.connect("127.0.0.1", closed.port()).await.err();
            let expected = if says_no_ip { ConnectError::NotJoined } else { ConnectError::Unreachable };
            assert_eq!(early, Some(expected));
            driver.join(super::NAME, super::PASSWORD).await.unwrap();
            for _ in 0..2 * LINKS_MAX {
                let refused = driver.connect("127.0.0.1", closed.port()).await.err();
                assert_eq!(refused, Some(ConnectError::Unreachable));
            }
            // No name server has to be asked for this: a label has at most 63 characters.
            let host = ["x".repeat(64), "invalid".to_owned()].join(".");
            let unknown = driver.connect(&host, 80).await.err();
            assert_eq!(unknown, Some(ConnectError::NoSuchHost));
            let unsendable = driver.connect("host\r\nAT+RST", 80).await.err();
            assert_eq!(unsendable, Some(ModemError::Unsendable.into()));
        })
        .await;
    }
}

#[tokio::test]
async fn reads_what_came_before_the_other_side_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    on_network(surroundings(), async |driver, bench| {
        let mut socket = driver.connect("127.0.0.1", port).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"the last words").await.unwrap();
        drop(peer);
        bench.control.status_when(|status| status.links == 0).await.unwrap();
        let mut text = [0; 9];
        socket.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"the last ");
        assert_eq!(socket.read(&mut text).await, Ok(5));
        assert_eq!(socket.read(&mut text).await, Ok(0));
        assert_eq!(socket.read(&mut text).await, Ok(0));
        assert!(socket.write(b"x").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_link_that_overruns_ends_and_others_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = echo_server().await;
    on_network(surroundings(), async |driver, _| {
        let mut flooded = driver.connect("127.0.0.1", port).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut calm = driver.connect("127.0.0.1", echo.port()).await.unwrap();
        // It gets through only because the modem's link is closed at last.
        let flood = async {
            let mut sent = 0;
            while peer.write_all(&[b'x'; 1_000]).await.is_ok() {
                sent += 1_000;
            }
            sent
        };
        let watch = async {
            loop {
                calm.write_all(b"still there?").await.unwrap();
                let mut text = [0; 12];
                calm.read_exact(&mut text).await.unwrap();
                assert_eq!(&text, b"still there?");
                if flooded.write(b"x").await.is_err() {
                    return;
                }
            }
        };
        let (sent, ()) = tokio::join!(flood, watch);
        assert!(sent > LINK_BUFFER_LEN);
        let mut bytes = vec![0; LINK_BUFFER_LEN];
        let error = loop {
            if let Err(error) = flooded.read(&mut bytes).await {
                break error;
            }
        };
        assert_eq!(error, SocketError::Overrun { room: LINK_BUFFER_LEN });
    })
    .await;
}

#[tokio::test]
async fn links_that_are_dropped_are_free_again() {
    let address = echo_server().await;
    on_network(surroundings(), async |driver, bench| {
        for round in 0..3 {
            let mut sockets = Vec::new();
            for _ in 0..LINKS_MAX {
                sockets.push(driver.connect("127.0.0.1", address.port()).await.unwrap());
            }
            let full = driver.connect("127.0.0.1", address.port()).await.err();
            assert_eq!(full, Some(ModemError::NoFreeLink { max: LINKS_MAX }.into()), "round {round}");
            assert_eq!(bench.control.status().links, LINKS_MAX);
        }
        driver.address().await.unwrap();
        assert_eq!(bench.control.status().links, 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_modem_kept_is_closed_first() {
    let address = echo_server().await;
    on_network(surroundings(), async |driver, bench| {
        bench.control.fault("AT+CIPSTART", Fault::AlreadyConnected).await;
        let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        let mut text = [0; 5];
        socket.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
    })
    .await;
}

#[tokio::test]
async fn a_host_may_be_somewhere_else() {
    let address = echo_server().await;
    let mut surroundings = surroundings();
    surroundings.hosts.insert(("gateway.hospital.example".to_owned(), 9_998), address);
    on_network(surroundings, async |driver, bench| {
        let mut socket = driver.connect("gateway.hospital.example", 9_998).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        socket.read_exact(&mut [0; 5]).await.unwrap();
        let status = bench.control.status();
        assert_eq!((status.sent_len, status.received_len), (5, 5));
        drop(socket);
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_closing_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    on_network(surroundings(), async |driver, _| {
        let mut socket = driver.connect("127.0.0.1", port).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"no one reads this").await.unwrap();
        let sent = pattern(5_000);
        socket.write_all(&sent).await.unwrap();
        socket.close().await;
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
    })
    .await;
}

#[tokio::test]
async fn a_modem_that_is_dropped_leaves_nothing_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (modem, control) = vitalwire_simulator::modem::modem(surroundings());
    let (mut reader, mut writer, end) = vitalwire_simulator::modem::line();
    let runs = tokio::spawn(modem.run(end));
    let mut state = vitalwire_device::modem::State::new();
    let clock = super::JumpingClock::new();
    let (mut receiver, driver) = vitalwire_device::modem::split(&mut state, &mut reader, &mut writer, clock);
    let connects = async {
        super::start_and_join(&driver).await;
        driver.listen(80).await.unwrap();
        driver.connect("127.0.0.1", port).await.unwrap()
    };
    let _socket = tokio::select! {
        error = receiver.run() => panic!("the line failed: {error:?}"),
        socket = connects => socket,
    };
    let (mut peer, _) = listener.accept().await.unwrap();
    let (_, listens) = control.status().tcp.unwrap();
    // As the program ends it.
    runs.abort();
    assert!(runs.await.unwrap_err().is_cancelled());
    assert!(matches!(peer.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    // Its tasks end when the runtime next turns to them.
    while tokio::net::TcpStream::connect(listens).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
