//! TLS 1.3 with a pre-shared key over any socket: `psk_dhe_ke` over P-256, `TLS_AES_128_GCM_SHA256`, no certificates
//! (RFC 8446 §4.2.11). The only module that names the TLS crate.
//!
//! Its record buffers take records of 512 bytes, on which it insists by `max_fragment_length` (RFC 6066 §4). The caller keeps
//! the key; what the crate derives from it is not zeroized.

use embedded_io_async::{Read, Write};
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, MaxFragmentLength, TLS_RECORD_OVERHEAD, TlsConfig, TlsConnection,
    TlsContext, TlsReader, TlsWriter,
};
use rand_core::CryptoRngCore;
use vitalwire_protocol::batch::SERVER_MESSAGE_LEN_MAX;

pub use embedded_tls::TlsError;

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

/// A connection.
pub type Tls<'b, S> = TlsConnection<'b, S, Aes128GcmSha256>;
/// Its receiving half, after [`Tls::split`].
pub type Reader<'t, S> = TlsReader<'t, S, Aes128GcmSha256>;
/// Its sending half. What is written goes out when it is flushed, or when it fills a record.
pub type Writer<'t, S> = TlsWriter<'t, S, Aes128GcmSha256>;

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
    type CipherSuite = Aes128GcmSha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut *self.0
    }
}
