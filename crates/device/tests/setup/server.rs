//! The page stays available whatever is sent, and nothing else is served.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vitalwire_device::setup::{REQUEST_MS_MAX, http};

use crate::world::{Answer, START, World, ask, connect, get, nonce, post, sealed, settings};

#[tokio::test(start_paused = true)]
async fn the_page_holds_the_state_of_the_device() {
    let mut world = World::new();
    let server = world.server();
    server.list_network(b"Ward 3", -48, true);
    server.list_network(b"", -50, true);
    server.list_network(b"Ward 3", -70, true);
    server.list_network(b"caf\xe9", -71, false);
    let (saved, answer) = ask(&server, &get("/"), 4_096).await;
    assert_eq!((saved, answer.status), (None, 200));
    assert!(answer.head.contains("Content-Security-Policy: default-src 'none'\r\n"), "{}", answer.head);
    let state = answer.state();
    assert_eq!(state["id"], "icu-07");
    assert_eq!(state["firmware"], "0.1.0");
    assert_eq!(state["wait"], 0);
    assert_eq!(state.get("trouble"), None);
    assert_eq!(state["networks"], serde_json::json!([["576172642033", -48, 1], ["636166e9", -71, 0]]));
    assert_eq!(state["nonce"].as_str().unwrap().len(), 32);
}

#[tokio::test(start_paused = true)]
async fn hostile_network_names_are_only_digits_in_the_page() {
    let mut world = World::new();
    let server = world.server();
    let names: [&[u8]; 6] = [
        b"</script><script>alert(1)",
        b"\"]],\"id\":\"other",
        b"\\u003c\\",
        b"\xff\xfe\x00\x80",
        b"<!--",
        &[b'\''; 32],
    ];
    for name in names {
        server.list_network(name, -60, true);
    }
    let (_, answer) = ask(&server, &get("/"), 4_096).await;
    let after_start = &answer.page()[START.len()..];
    assert_eq!(after_start.matches('<').count(), 1, "{after_start}");
    let state = answer.state();
    assert_eq!(state["id"], "icu-07");
    for (name, listed) in names.iter().zip(state["networks"].as_array().unwrap()) {
        let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(listed[0], digits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_split_anywhere() {
    let mut world = World::new();
    let server = world.server();
    for piece_len in 1..get("/").len() {
        let (_, answer) = ask(&server, &get("/"), piece_len).await;
        assert_eq!(answer.state()["id"], "icu-07", "pieces of {piece_len}");
    }
    for piece_len in 1..300 {
        let request = post(&sealed(&settings(), &[0; 16], &[0; 16]));
        let (_, answer) = ask(&server, &request, piece_len).await;
        assert_eq!(answer.status, 409, "pieces of {piece_len}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_may_go_at_any_byte() {
    let mut world = World::new();
    let server = world.server();
    let nonce_before = nonce(&server).await;
    let save = post(&sealed(&settings(), &[0; 16], &nonce_before));
    for request in [get("/"), save] {
        for len in 0..request.len() {
            let (saved, ()) = connect(&server, async |mut browser| {
                browser.write_all(&request[..len]).await.unwrap();
            })
            .await;
            assert_eq!(saved, None, "{len} bytes");
        }
    }
    assert_eq!(nonce(&server).await, nonce_before, "no try was made");
}

#[tokio::test(start_paused = true)]
async fn a_browser_may_go_before_its_answer() {
    let mut world = World::new();
    let server = world.server();
    let page = get("/");
    let (_, ()) = connect(&server, async |mut browser| browser.write_all(&page).await.unwrap()).await;
    let save = post(&sealed(&settings(), &crate::world::KEY, &nonce(&server).await));
    let (saved, ()) = connect(&server, async |mut browser| browser.write_all(&save).await.unwrap()).await;
    assert_eq!(saved, Some(settings()), "what is saved is saved");
}

#[tokio::test(start_paused = true)]
async fn ten_kilobytes_of_head_are_too_many_and_the_answer_arrives() {
    let mut world = World::new();
    let server = world.server();
    let long = format!("GET / HTTP/1.1\r\nHost: 192.168.4.1\r\nCookie: {}\r\n\r\n", "a".repeat(10_240));
    for piece_len in [1_000, 100_000] {
        let (_, answer) = ask(&server, long.as_bytes(), piece_len).await;
        assert_eq!((answer.status, &answer.json()["error"]), (431, &"request".into()));
        nonce(&server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_says_why_and_the_page_is_there_after_it() {
    let mut world = World::new();
    let server = world.server();
    let own = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: 192.168.4.1\r\n{fields}\r\n");
    for (status, request) in [
        (400, "\x16\x03\x01\x02\0\x01\0\x01".to_owned()),
        (403, "POST /save HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (404, own("GET /favicon.ico", "")),
        (405, own("PUT /save", "")),
        (405, own("POST /", "Content-Length: 3\r\n")),
        (411, own("POST /save", "")),
        (413, own("POST /save", "Content-Length: 1025\r\n")),
    ] {
        let (saved, answer) = ask(&server, request.as_bytes(), 4_096).await;
        assert_eq!((saved, answer.status), (None, status), "{request:?}");
        assert!(answer.json()["reason"].as_str().unwrap().len() > 20, "{answer:?}");
        assert_eq!(answer.head.contains("\r\nAllow: "), status == 405, "{}", answer.head);
        nonce(&server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_looks_for_its_maker_is_sent_to_the_page() {
    let mut world = World::new();
    let server = world.server();
    let request = b"GET /generate_204 HTTP/1.1\r\nHost: connectivitycheck.gstatic.com\r\n\r\n";
    let (_, answer) = ask(&server, request, 4_096).await;
    assert_eq!((answer.status, answer.body.len()), (302, 0));
    assert!(answer.head.contains("\r\nLocation: http://192.168.4.1/\r\n"), "{}", answer.head);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stalls_has_a_deadline() {
    let mut world = World::new();
    let server = world.server();
    for (request, pause_ms) in [(get("/"), 1_000), (post(&[0; 60]), 4_900)] {
        let before = tokio::time::Instant::now();
        let (_, answer) = connect(&server, async |mut browser| {
            // Byte for byte, and never the last.
            for byte in &request[..request.len() - 1] {
                if browser.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            let mut answer = Vec::new();
            browser.read_to_end(&mut answer).await.unwrap();
            Answer::from_bytes(&answer)
        })
        .await;
        assert_eq!(answer.status, 408);
        assert!(before.elapsed() < Duration::from_millis(2 * REQUEST_MS_MAX));
        nonce(&server).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let mut world = World::new();
    let server = world.server();
    let before = tokio::time::Instant::now();
    let (_, answer) = connect(&server, async |mut browser| {
        let mut answer = Vec::new();
        browser.read_to_end(&mut answer).await.unwrap();
        answer
    })
    .await;
    assert_eq!(answer, b"");
    assert_eq!(before.elapsed(), Duration::from_millis(REQUEST_MS_MAX));
    nonce(&server).await;
}

#[tokio::test(start_paused = true)]
async fn the_page_is_served_beside_a_connection_that_stalls() {
    let mut world = World::new();
    let server = world.server();
    let (_, ()) = connect(&server, async |browser| {
        nonce(&server).await;
        drop(browser);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_does_not_read_holds_no_one_up_for_ever() {
    let mut world = World::new();
    let server = world.server();
    let (mut browser, device) = tokio::io::duplex(16);
    let mut socket = vitalwire_testing::device::Socket(device);
    let page = get("/");
    let (saved, _) = tokio::join!(server.serve_connection(&mut socket), browser.write_all(&page));
    assert_eq!(saved, None);
    nonce(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_sending_after_its_refusal_is_left() {
    let mut world = World::new();
    let server = world.server();
    let endless = vec![b'a'; http::HEAD_LEN_MAX];
    let (_, sent) = connect(&server, async |mut browser| {
        let mut sent = 0;
        while browser.write_all(&endless).await.is_ok() {
            sent += endless.len();
        }
        sent
    })
    .await;
    assert!(sent < 128 * 1_024, "{sent} bytes");
    nonce(&server).await;
}

#[tokio::test]
async fn a_connection_that_is_served_needs_a_known_amount_of_memory() {
    let mut world = World::new();
    let server = world.server();
    let mut socket = vitalwire_testing::device::Socket(tokio::io::duplex(16).1);
    let len = size_of_val(&server.serve_connection(&mut socket));
    println!("{len} bytes a connection");
    // Three are served at once, in a memory of 264 KB.
    assert!(len <= 6 * 1_024, "{len} bytes");
}
