//! Names of TLS cipher suites and versions, and whether a suite encrypts.

/// Whether and how a suite encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// Encrypted and authenticated at once.
    Aead,
    /// Encrypted; in records of TLS 1.2 that are authenticated apart.
    Cbc,
    /// Not at all.
    None,
}

/// Number, name, how it encrypts (IANA, TLS Cipher Suites).
const SUITES: [(u16, &str, Encryption); 39] = {
    use Encryption::{Aead, Cbc, None};
    [
        (0x1301, "TLS_AES_128_GCM_SHA256", Aead),
        (0x1302, "TLS_AES_256_GCM_SHA384", Aead),
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256", Aead),
        (0x1304, "TLS_AES_128_CCM_SHA256", Aead),
        (0x1305, "TLS_AES_128_CCM_8_SHA256", Aead),
        (0xc0b4, "TLS_SHA256_SHA256", None),
        (0xc0b5, "TLS_SHA384_SHA384", None),
        (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Aead),
        (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Aead),
        (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Aead),
        (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Aead),
        (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Aead),
        (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Aead),
        (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Aead),
        (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Aead),
        (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Aead),
        (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Aead),
        (0x00a8, "TLS_PSK_WITH_AES_128_GCM_SHA256", Aead),
        (0x00a9, "TLS_PSK_WITH_AES_256_GCM_SHA384", Aead),
        (0xc0a8, "TLS_PSK_WITH_AES_128_CCM_8", Aead),
        (0xccab, "TLS_PSK_WITH_CHACHA20_POLY1305_SHA256", Aead),
        (0xccac, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", Aead),
        (0xd001, "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256", Aead),
        (0xd002, "TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384", Aead),
        (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Cbc),
        (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Cbc),
        (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Cbc),
        (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Cbc),
        (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Cbc),
        (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Cbc),
        (0x008c, "TLS_PSK_WITH_AES_128_CBC_SHA", Cbc),
        (0x008d, "TLS_PSK_WITH_AES_256_CBC_SHA", Cbc),
        (0x0000, "TLS_NULL_WITH_NULL_NULL", None),
        (0x0001, "TLS_RSA_WITH_NULL_MD5", None),
        (0x0002, "TLS_RSA_WITH_NULL_SHA", None),
        (0x003b, "TLS_RSA_WITH_NULL_SHA256", None),
        (0x002c, "TLS_PSK_WITH_NULL_SHA", None),
        (0x00b0, "TLS_PSK_WITH_NULL_SHA256", None),
        (0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA", None),
    ]
};

/// The suite's name, or its number.
pub(crate) fn name(suite: u16) -> String {
    find(suite).map_or_else(|| format!("cipher suite {suite:#06x}"), |(name, _)| name.to_owned())
}

/// How the suite encrypts; `None` when it is not known here.
pub(crate) fn encryption(suite: u16) -> Option<Encryption> {
    find(suite).map(|(_, encryption)| encryption)
}

fn find(suite: u16) -> Option<(&'static str, Encryption)> {
    SUITES.iter().find(|(number, ..)| *number == suite).map(|(_, name, encryption)| (*name, *encryption))
}

/// `TLS 1.3` of its number on the wire.
pub(crate) fn version_name(version: u16) -> String {
    match version {
        0x0304 => "TLS 1.3".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0300 => "SSL 3.0".to_owned(),
        other => format!("TLS version {other:#06x}"),
    }
}
