//! TLS 1.3 with a pre-shared key over any socket: `psk_dhe_ke` over P-256, `TLS_CHACHA20_POLY1305_SHA256`, no certificates
//! (RFC 8446 §4.2.11). The only module that names the TLS crate.
//!
//! Its record buffers take records of 512 bytes, on which it insists by `max_fragment_length` (RFC 6066 §4). The caller keeps
//! the key; what the crate derives from it is not zeroized.

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::consts::U32;
use embedded_io_async::{Read, Write};
pub use embedded_tls::TlsError;
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, MaxFragmentLength, TLS_RECORD_OVERHEAD, TlsCipherSuite, TlsConfig,
    TlsConnection, TlsContext, TlsReader, TlsWriter,
};
use rand_core::CryptoRngCore;
use vitalwire_protocol::batch::SERVER_MESSAGE_LEN_MAX;

/// Bytes of a record buffer: `max_fragment_length` and what the crate keeps free around it.
const BUFFER_LEN: usize = SERVER_MESSAGE_LEN_MAX + TLS_RECORD_OVERHEAD;

/// The buffers of one connection.
#[derive(Debug)]
pub struct Buffers {
    read: [u8; BUFFER_LEN],
    write: [u8; BUFFER_LEN],
}

impl Buffers {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { read: [0; BUFFER_LEN], write: [0; BUFFER_LEN] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// How the device proves itself, and the server itself.
#[derive(Clone, Copy)]
pub struct PreSharedKey<'k> {
    /// The identity of the key, which travels in the clear: the digits of the link id.
    pub id: &'k [u8],
    /// The key.
    pub key: &'k [u8; 32],
}

/// The cipher suite (RFC 8446 appendix B.4, RFC 8439): a processor without instructions for AES pays a third of what AES-GCM takes.
#[derive(Clone, Copy, Debug)]
pub enum ChaCha20Poly1305Sha256 {}

impl TlsCipherSuite for ChaCha20Poly1305Sha256 {
    const CODE_POINT: u16 = 0x1303;
    type Cipher = ChaCha20Poly1305;
    type KeyLen = U32;
    // The crate names neither its hash nor the length of its labels otherwise.
    type IvLen = <Aes128GcmSha256 as TlsCipherSuite>::IvLen;
    type Hash = <Aes128GcmSha256 as TlsCipherSuite>::Hash;
    type LabelBufferSize = <Aes128GcmSha256 as TlsCipherSuite>::LabelBufferSize;
}

/// A connection.
pub type Tls<'b, S> = TlsConnection<'b, S, ChaCha20Poly1305Sha256>;
/// Its receiving half, after [`Tls::split`].
pub type Reader<'t, S> = TlsReader<'t, S, ChaCha20Poly1305Sha256>;
/// Its sending half. What is written goes out when it is flushed, or when it fills a record.
pub type Writer<'t, S> = TlsWriter<'t, S, ChaCha20Poly1305Sha256>;

/// The handshake. It takes two multiplications on P-256, some tenths of a second on a microcontroller, in which nothing else
/// of the same executor runs. Dropped in the middle, it leaves a connection that is good for nothing.
///
/// # Errors
/// There is no such server, or it knows another key or none.
pub async fn handshake<'b, S: Read + Write + 'b, G: CryptoRngCore>(
    socket: S,
    key: PreSharedKey<'_>,
    rng: &mut G,
    buffers: &'b mut Buffers,
) -> Result<Tls<'b, S>, TlsError> {
    let identities = [key.id];
    let config =
        TlsConfig::new().with_max_fragment_length(MaxFragmentLength::Bits9).with_psk(key.key, &identities);
    let mut tls = TlsConnection::new(socket, &mut buffers.read, &mut buffers.write);
    tls.open(TlsContext::new(&config, Provider(rng))).await?;
    Ok(tls)
}

/// What the TLS crate needs besides itself. There is no certificate to verify: the key authenticates both sides.
struct Provider<'r, G>(&'r mut G);

impl<G: CryptoRngCore> CryptoProvider for Provider<'_, G> {
    type CipherSuite = ChaCha20Poly1305Sha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut *self.0
    }
}
