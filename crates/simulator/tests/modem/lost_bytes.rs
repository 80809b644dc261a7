//! Noise on the line, bytes that are lost on it, and a device that restarted while the modem did not.

use embedded_io_async::{Read, Write};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use vitalwire_device::modem::{SocketError, State, split};
use vitalwire_simulator::modem::{Fault, line, modem};

use super::{JumpingClock, beside, echo_server, on_network, start_and_join, surroundings};

#[tokio::test]
async fn noise_and_lines_that_no_one_asked_for_change_nothing() {
    on_network(surroundings(), async |driver, bench| {
        let address = echo_server().await;
        let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
        // All but results: one that no one asked for cannot be told from one that was.
        let noise: [&[u8]; 7] = [
            b"\r\n+STA_DISCONNECTED:\"02:00:00:00:03:00\"\r\n",
            b"\xff\xfe\x80\r\n",
            b"\r\n> ",
            b"\r\n+IPD,9,3:abc",
            b"\r\n+IPD,0,4:lost",
            b"\r\n+IPD,1,99999:\r\n+IPD,,:\r\n+IPD,-1,-1:\r\n",
            &[b'x'; 5_000],
        ];
        for noise in noise {
            bench.control.say(noise).await;
            bench.control.say(b"\r\n").await;
            socket.write_all(b"hello").await.unwrap();
            let mut text = [0; 5];
            socket.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"hello");
            assert_eq!(driver.address().await.unwrap(), "192.168.77.23");
        }
    })
    .await;
}

/// Whatever number of bytes is lost at the start of what a peer sends, no wrong byte is taken for a right one without the
/// link ending, and the modem works on.
#[tokio::test]
async fn lost_bytes_end_a_link_at_most() {
    for lost in [1, 2, 5, 9, 12, 15, 40, 113] {
        on_network(surroundings(), async |driver, bench| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut socket = driver.connect("127.0.0.1", port).await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            bench.control.lose(lost).await;
            let before = bench.control.status().received_len;
            peer.write_all(&[b'p'; 100]).await.unwrap();
            bench.control.status_when(|status| status.received_len > before).await.unwrap();
            // Some of the answer is taken for data; then it does not come in time.
            let asked = async {
                for _ in 0..20 {
                    if driver.address().await.is_ok() {
                        return true;
                    }
                }
                false
            };
            let hurry = async {
                loop {
                    tokio::task::yield_now().await;
                    bench.clock.jump_ms(100);
                    bench.control.status_when(|_| true).await.unwrap();
                }
            };
            let recovered = tokio::select! { recovered = asked => recovered, () = hurry => false };
            assert!(recovered, "{lost} bytes lost");
            assert_eq!(bench.control.status().starts, 1);
            let mut socket_2 = driver.connect("127.0.0.1", echo_server().await.port()).await.unwrap();
            socket_2.write_all(b"hello").await.unwrap();
            socket_2.read_exact(&mut [0; 5]).await.unwrap();
            drop(peer);
            let mut bytes = [0; 200];
            let end = loop {
                match socket.read(&mut bytes).await {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error),
                }
            };
            assert!(matches!(end, None | Some(SocketError::Garbled)), "{lost} bytes lost: {end:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_device_that_restarted_while_it_sent_finds_the_modem() {
    let (modem, control) = modem(surroundings());
    let (mut reader, mut writer, end) = line();
    let runs = tokio::spawn(modem.run(end));
    let address = echo_server().await;
    let clock = JumpingClock::new();
    {
        let mut state = State::new();
        let (mut receiver, driver) = split(&mut state, &mut reader, &mut writer, clock.clone());
        let sends = async {
            start_and_join(&driver).await;
            driver.listen(80).await.unwrap();
            let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
            socket.write_all(b"hello").await.unwrap();
            control.fault("AT+CIPSEND", Fault::LosePrompt).await;
            let before = control.status().commands;
            tokio::select! {
                _ = socket.write(&[b'x'; 1_500]) => panic!("sent"),
                _ = control.status_when(|status| status.commands > before) => {}
            }
        };
        tokio::select! {
            error = receiver.run() => panic!("the line failed: {error:?}"),
            () = sends => {}
        }
    }
    assert_eq!(control.status().links, 1);
    let mut state = State::new();
    let (mut receiver, driver) = split(&mut state, &mut reader, &mut writer, clock.clone());
    let starts = async {
        let answered = control.status().commands;
        let hurry = async {
            // It takes the first commands for data.
            while control.status().commands == answered {
                tokio::task::yield_now().await;
                clock.jump_ms(10);
            }
        };
        beside(driver.start(), hurry).await.unwrap();
        start_and_join(&driver).await;
        let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        socket.read_exact(&mut [0; 5]).await.unwrap();
    };
    tokio::select! {
        error = receiver.run() => panic!("the line failed: {error:?}"),
        () = starts => {}
    }
    drop((receiver, driver));
    drop((reader, writer));
    runs.await.unwrap().unwrap();
}
