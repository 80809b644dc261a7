//! Commands and sends that go wrong, and futures that are dropped: the next command works, and takes no answer but its own.

use embedded_io_async::{Read, Write};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use vitalwire_device::modem::{ModemError, SEND_LEN_MAX, SocketError};
use vitalwire_simulator::modem::Fault;

use super::{Bench, Driver, beside, both_firmwares, echo_server, on_network, start_and_join, surroundings};

const NAME: &[u8] = super::NAME;

/// A connection works from its opening on.
async fn works(driver: &Driver<'_, '_>) {
    let address = echo_server().await;
    let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    let mut text = [0; 5];
    socket.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello");
    socket.close().await;
}

/// Waits until the modem has heard one more command, and moves the driver's clock.
async fn hear_and_jump(bench: &Bench, ms: u64) {
    let before = bench.control.status().commands;
    bench.control.status_when(|status| status.commands > before).await.unwrap();
    bench.clock.jump_ms(ms);
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_by_its_time() {
    for surroundings in both_firmwares() {
        on_network(surroundings, async |driver, bench| {
            bench.control.fault("AT+CIFSR", Fault::Silent).await;
            let answer = beside(driver.address(), hear_and_jump(bench, 3_000)).await;
            assert_eq!(answer, Err(ModemError::Silent { command: "AT+CIFSR", ms_max: 3_000 }));
            works(driver).await;
        })
        .await;
    }
}

#[tokio::test]
async fn sends_that_fail_end_their_link_alone() {
    for surroundings in both_firmwares() {
        for fault in [Fault::Refuse, Fault::SendFail, Fault::CloseInSend] {
            on_network(surroundings.clone(), async |driver, bench| {
                let address = echo_server().await;
                let mut other = driver.connect("127.0.0.1", address.port()).await.unwrap();
                let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
                bench.control.fault("AT+CIPSEND", fault).await;
                assert!(matches!(
                    socket.write(b"lost").await,
                    Err(SocketError::NotSent | SocketError::Closed)
                ));
                assert!(socket.write(b"more").await.is_err());
                other.write_all(b"hello").await.unwrap();
                other.read_exact(&mut [0; 5]).await.unwrap();
                assert_eq!(bench.control.status().links, 1, "{fault:?}");
                works(driver).await;
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_lost_prompt_or_result_closes_the_link_and_nothing_else() {
    for surroundings in both_firmwares() {
        for (fault, ms) in [(Fault::LosePrompt, 3_000), (Fault::LoseSendOk, 10_000)] {
            on_network(surroundings.clone(), async |driver, bench| {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let mut socket = driver.connect("127.0.0.1", port).await.unwrap();
                let (mut peer, _) = listener.accept().await.unwrap();
                bench.control.fault("AT+CIPSEND", fault).await;
                let jump = async {
                    hear_and_jump(bench, 0).await;
                    if fault == Fault::LoseSendOk {
                        peer.read_exact(&mut [0; 700]).await.unwrap();
                    }
                    bench.clock.jump_ms(ms);
                };
                let sent = beside(socket.write(&[b'x'; 700]), jump).await;
                assert!(matches!(sent, Err(SocketError::Modem(ModemError::Silent { .. }))), "{sent:?}");
                assert!(socket.read(&mut [0; 8]).await.is_err());
                works(driver).await;
                // The link is closed at the modem, too. What the other side got is not taken for what was sent.
                let mut rest = Vec::new();
                peer.read_to_end(&mut rest).await.unwrap();
                assert!(rest.iter().all(|byte| b"\r\n".contains(byte)));
                assert_eq!(bench.control.status().starts, 1);
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_restart_while_sending_ends_all_links() {
    on_network(surroundings(), async |driver, bench| {
        let address = echo_server().await;
        let mut other = driver.connect("127.0.0.1", address.port()).await.unwrap();
        let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
        bench.control.fault("AT+CIPSEND", Fault::RestartInSend).await;
        assert_eq!(socket.write(b"lost").await, Err(SocketError::Lost));
        assert_eq!(other.read(&mut [0; 8]).await, Err(SocketError::Lost));
        start_and_join(driver).await;
        // A socket of before the restart is not one of after it.
        assert!(other.write(b"x").await.is_err());
        works(driver).await;
    })
    .await;
}

#[tokio::test]
async fn a_command_after_a_dropped_one_takes_its_own_answer() {
    for surroundings in both_firmwares() {
        on_network(surroundings, async |driver, bench| {
            for held in [false, true] {
                bench.control.fault("AT+CWJAP", Fault::Hold).await;
                let before = bench.control.status().commands;
                tokio::select! {
                    joined = driver.join(NAME, "wrong password") => panic!("joined: {joined:?}"),
                    _ = bench.control.status_when(|status| status.commands > before) => {}
                }
                // The old answer comes before the next command, or while that is asked again and again.
                if !held {
                    bench.control.release().await;
                }
                let release = async {
                    if held {
                        bench.control.status_when(|status| status.commands > before + 3).await.unwrap();
                        bench.control.release().await;
                    }
                };
                let joined = beside(driver.join(NAME, super::PASSWORD), release).await;
                assert_eq!(joined, Ok(()));
                works(driver).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_dropped_write_ends_its_link_and_owes_the_modem_nothing() {
    for surroundings in both_firmwares() {
        on_network(surroundings, async |driver, bench| {
            let address = echo_server().await;
            for fault in [Fault::LosePrompt, Fault::LoseSendOk] {
                let mut socket = driver.connect("127.0.0.1", address.port()).await.unwrap();
                bench.control.fault("AT+CIPSEND", fault).await;
                let before = bench.control.status().commands;
                tokio::select! {
                    sent = socket.write(&[b'x'; SEND_LEN_MAX]) => panic!("sent: {sent:?}"),
                    _ = bench.control.status_when(|status| status.commands > before) => {}
                }
                assert_eq!(socket.write(b"y").await, Err(SocketError::Interrupted));
                assert_eq!(driver.address().await.unwrap(), "192.168.77.23");
                works(driver).await;
            }
            assert_eq!(bench.control.status().starts, 1);
        })
        .await;
    }
}

#[tokio::test]
async fn a_dropped_connect_leaves_no_link_open() {
    on_network(surroundings(), async |driver, bench| {
        let address = echo_server().await;
        for _ in 0..12 {
            bench.control.fault("AT+CIPSTART", Fault::Hold).await;
            let before = bench.control.status().commands;
            tokio::select! {
                _ = driver.connect("127.0.0.1", address.port()) => panic!("connected"),
                _ = bench.control.status_when(|status| status.commands > before) => {}
            }
            bench.control.release().await;
            driver.address().await.unwrap();
            assert_eq!(bench.control.status().links, 0);
        }
        works(driver).await;
    })
    .await;
}
