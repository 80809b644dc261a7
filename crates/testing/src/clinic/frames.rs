//! Devices with AES-CBC frames, on raw sockets.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};

use super::Subscriber;
use crate::PATIENCE;
use crate::paper::{JSON, numbered_json};

/// A device that is enrolled for AES-CBC frames.
#[derive(Clone)]
pub struct Device {
    /// Its name.
    pub id: String,
    /// What it encrypts with.
    pub secret: CbcSecret,
    /// Where its server listens.
    pub address: SocketAddr,
}

impl Device {
    /// This JSON as a frame.
    pub fn frame(&self, variant: Variant, json: &str) -> Vec<u8> {
        let mut frame = vec![0; FRAME_LEN_MAX.max(json.len() * 3)];
        let len = FrameEncoder::new(&self.secret, variant).encode(json.as_bytes(), &mut frame).unwrap();
        frame.truncate(len);
        frame
    }

    /// The ciphertext of `len` bytes of JSON in the `blockwise` variant, put together from frames that an honest
    /// encoder would make: it refuses to make one so long.
    pub fn endless_frame(&self, len: usize) -> Vec<u8> {
        let block = |text: &str| self.frame(Variant::Blockwise, &format!("{text}}}"))[..32].to_vec();
        let mut frame = block("{\"Temp\":\"111111");
        let middle = block("1111111111111111");
        for _ in 1..len / 16 {
            frame.push(b'+');
            frame.extend_from_slice(&middle);
        }
        frame
    }

    /// A frame whose pulse signal is `number`, to tell it from others.
    pub fn numbered(&self, number: usize) -> Vec<u8> {
        self.frame(Variant::Chained, &numbered_json(number))
    }

    /// A connection that has sent nothing.
    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Connects and delivers one reading.
    pub async fn connect_delivering(&self, subscriber: &mut Subscriber) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(&self.frame(Variant::Chained, JSON)).await.unwrap();
        subscriber.until(&format!("vitalwire/v1/{}/reading", self.id)).await;
        stream
    }
}

/// Waits until the peer has closed, whether by FIN or RST.
pub async fn closed(stream: &mut TcpStream) {
    if let Ok(len) = stream.read(&mut [0; 64]).await {
        assert_eq!(len, 0, "the server never answers on this protocol");
    }
}

/// The peer must close; `what` made it.
pub async fn closes(stream: &mut TcpStream, what: &str) {
    let in_time = tokio::time::timeout(PATIENCE, closed(stream)).await;
    assert!(in_time.is_ok(), "the connection stays open after {what}");
}

/// Writes, and does not care when the peer has closed meanwhile.
pub async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}
