//! The page's size, and that what the device adds to it is whole.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use vitalwire_testing::device::Socket;
use vitalwire_testing::setup::Bench;
use vitalwire_web::CONFIGURATION_PAGE;

use crate::browser::{state, unpacked};

/// Bytes of the whole answer: at 6.67 KB/s, a modem's rate in the paper, in less than 1.1 s.
const ANSWER_LEN_MAX: usize = 7_000;
/// Names of the longest length, which do not compress, and with bytes that are no text.
const NETWORKS: u8 = 10;

async fn answer(bench: &mut Bench) -> Vec<u8> {
    let server = bench.server(&["192.168.4.1"]);
    for number in 0..NETWORKS {
        server.list_network(&[0x80 + number; 32], -60, true);
    }
    let (mut browser, device) = duplex(64 * 1_024);
    browser.write_all(b"GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n").await.expect("it is taken");
    let mut socket = Socket(device);
    assert_eq!(server.serve_connection(&mut socket).await, None);
    drop(socket);
    let mut answer = Vec::new();
    browser.read_to_end(&mut answer).await.expect("it is read");
    answer
}

#[tokio::test]
async fn the_answer_with_ten_networks_of_the_longest_names_is_within_its_limit() {
    let answer = answer(&mut Bench::new(CONFIGURATION_PAGE)).await;
    println!("{} bytes with head and {NETWORKS} networks", answer.len());
    assert!(answer.len() <= ANSWER_LEN_MAX, "{} bytes", answer.len());
}

#[tokio::test]
async fn the_page_unpacks_to_its_form_and_its_state() {
    let answer = answer(&mut Bench::new(CONFIGURATION_PAGE)).await;
    let page = unpacked(&answer);
    assert!(page.starts_with("<!doctype html>"), "{page}");
    let state = state(&page);
    assert_eq!(state["networks"].as_array().map(Vec::len), Some(usize::from(NETWORKS)));
    // Nothing is asked of anybody but the device.
    for outside in ["http:", "https:", "//", "src=", "@import", "url("] {
        let place = page.find(outside);
        assert_eq!(place, None, "{outside}: {:?}", place.map(|at| &page[at..page.len().min(at + 60)]));
    }
}
