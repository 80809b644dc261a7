//! A browser made of bytes, on real sockets.

use std::io::Read as _;
use std::net::SocketAddr;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::seal;
use vitalwire_testing::setup::SETUP_KEY;

fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends");
    answer.get(end + 4..).unwrap_or_default()
}

/// The page of an answer; its check is checked.
pub(crate) fn unpacked(answer: &[u8]) -> String {
    let mut page = String::new();
    GzDecoder::new(body(answer)).read_to_string(&mut page).expect("its check is right");
    page
}

/// What the device says in its page.
pub(crate) fn state(page: &str) -> Value {
    let state = page.split_once("<script type=application/json id=state>").expect("it holds a state").1;
    serde_json::from_str(state.strip_suffix("</script>").expect("it ends")).expect("it is JSON")
}

/// Sends a request and reads the answer to the end of its connection.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What the device says in the page that it serves there.
pub(crate) async fn visit(address: SocketAddr) -> Value {
    let answer = ask(address, b"GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n").await.expect("it answers");
    state(&unpacked(&answer))
}

/// Saves settings, and gives the answer.
pub(crate) async fn save(address: SocketAddr, settings: &Settings) -> Value {
    let state = visit(address).await;
    let digits = state.get("nonce").and_then(Value::as_str).expect("a page has a nonce");
    let nonce = u128::from_str_radix(digits, 16).expect("it is digits").to_be_bytes();
    let mut save = [0; 512];
    let len = seal::seal(settings, &SETUP_KEY, &nonce, &[3; 12], &mut save).expect("it is long enough");
    let head = format!("POST /save HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Length: {len}\r\n\r\n");
    let request = [head.as_bytes(), save.get(..len).unwrap_or_default()].concat();
    let answer = ask(address, &request).await.expect("it answers");
    serde_json::from_slice(body(&answer)).expect("it is JSON")
}
