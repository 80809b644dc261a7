//! What is done with the master key: sealing device keys, and deriving what only its holder can derive. The one module
//! that names the key-wrapping crate. It never writes an opened key anywhere.
//!
//! A device key (32 bytes; for AES-CBC these are key and IV) is wrapped with AES-KW (RFC 3394, AES-256) under a key of its
//! own, `HKDF-SHA256(master key, info)` (RFC 5869, no salt), where info is one of
//!
//! - `"vitalwire device kek v1" ‖ name` for AES-CBC,
//! - `"vitalwire tls device kek v1" ‖ link id (16 bytes) ‖ name` for TLS,
//! - `"vitalwire tls previous device kek v1" ‖ link id ‖ deadline (Unix seconds, 8 bytes, big-endian) ‖ name` for the key
//!   before the last rotation.
//!
//! The keys that chained the audit log before the master key was rotated are wrapped in the same way, with the info
//! `"vitalwire former audit kek v1" ‖ number of their last record (8 bytes, big-endian)`.
//!
//! What is known of a patient and of an alarm's values, some blocks of 8 bytes (`sealed_row.rs`), is wrapped in the same way, with the info
//!
//! - `"vitalwire patient kek v1" ‖ number of the stay (8 bytes, big-endian)`,
//! - `"vitalwire alarm values kek v1" ‖ row`, `"vitalwire alarm reason kek v1" ‖ row`, where row is the number of the alarm and that of
//!   the stay (8 bytes each, big-endian; 0: of none) ‖ condition ‖ a zero byte ‖ device.
//!
//! Equal texts in the same row give equal bytes, and in no other.
//!
//! So a sealed key opens only in its own device's row, for its own protocol, under its own link id and deadline, and
//! AES-KW's 64-bit check finds every changed bit. No label is the beginning of another, so no two infos are equal.

use aes_kw::{KeyInit, KwAes256};
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;
use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;
use zeroize::Zeroizing;

use crate::key::MasterKey;
use crate::link::{KEY_LEN, LinkId};
use crate::secret::{Secret, TlsSecret};

/// A sealed device key: 32 bytes and the 8 of AES-KW's check.
pub(crate) const SEALED_LEN: usize = 40;
/// AES-KW works on blocks of so many bytes, and adds one.
const BLOCK_LEN: usize = 8;
/// The registry's fingerprint of a device key.
pub(crate) const FINGERPRINT_LEN: usize = 16;

const CBC_LABEL: &[u8] = b"vitalwire device kek v1";
const TLS_LABEL: &[u8] = b"vitalwire tls device kek v1";
const TLS_PREVIOUS_LABEL: &[u8] = b"vitalwire tls previous device kek v1";
const CHECK_LABEL: &[u8] = b"vitalwire registry check kek v1";
const CBC_FINGERPRINT_LABEL: &[u8] = b"vitalwire device key fingerprint v1";
const TLS_FINGERPRINT_LABEL: &[u8] = b"vitalwire tls device key fingerprint v1";
const AUDIT_CHAIN_LABEL: &[u8] = b"vitalwire audit chain v1";
const AUDIT_SEAL_LABEL: &[u8] = b"vitalwire audit end v1";
const FORMER_AUDIT_LABEL: &[u8] = b"vitalwire former audit kek v1";
const PATIENT_LABEL: &[u8] = b"vitalwire patient kek v1";
const ALARM_VALUES_LABEL: &[u8] = b"vitalwire alarm values kek v1";
const ALARM_REASON_LABEL: &[u8] = b"vitalwire alarm reason kek v1";
const CHECK_PLAINTEXT: &[u8; 16] = b"vitalwire check.";

/// Seals and opens device keys. Holds the master key only in its extracted form, which hkdf zeroizes on drop.
#[derive(Clone)]
pub(crate) struct Sealer {
    hkdf: Hkdf<Sha256>,
}

/// A row whose sealed columns open there only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SealedRow<'a> {
    /// What is known of the patient of a stay.
    Patient { stay: i64 },
    /// Value and limit of an alarm.
    AlarmValues(AlarmRow<'a>),
    /// Why an alarm was acknowledged.
    AlarmReason(AlarmRow<'a>),
}

/// What an alarm's row says in the clear, and its sealed columns are bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlarmRow<'a> {
    pub(crate) number: i64,
    pub(crate) stay: i64,
    pub(crate) condition: &'a str,
    pub(crate) device: &'a str,
}

/// The bytes do not open under this key for this device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealBroken;

impl Sealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self { hkdf: Hkdf::new(None, master.bytes()) }
    }

    /// Seals the present key of a device.
    pub(crate) fn seal(&self, id: &DeviceId, secret: &Secret) -> [u8; SEALED_LEN] {
        match secret {
            Secret::AesCbc(secret) => self.wrap(&[CBC_LABEL, name(id)], &joined(secret)),
            Secret::Tls(secret) => self.wrap(&[TLS_LABEL, secret.link.bytes(), name(id)], &secret.key),
        }
    }

    /// Seals the key before the last rotation, with its deadline in Unix seconds.
    pub(crate) fn seal_previous(&self, id: &DeviceId, secret: &TlsSecret, until: i64) -> [u8; SEALED_LEN] {
        let info = [TLS_PREVIOUS_LABEL, secret.link.bytes(), &until.to_be_bytes(), name(id)];
        self.wrap(&info, &secret.key)
    }

    pub(crate) fn open_cbc(&self, id: &DeviceId, sealed: &[u8]) -> Result<CbcSecret, SealBroken> {
        let plain = self.unwrap(&[CBC_LABEL, name(id)], sealed)?;
        let (halves, _) = plain.as_chunks::<16>();
        match halves {
            [key, iv] => Ok(CbcSecret::new(*key, *iv)),
            _ => Err(SealBroken),
        }
    }

    pub(crate) fn open_tls(
        &self,
        id: &DeviceId,
        link: LinkId,
        sealed: &[u8],
    ) -> Result<TlsSecret, SealBroken> {
        let key = self.unwrap(&[TLS_LABEL, link.bytes(), name(id)], sealed)?;
        Ok(TlsSecret { link, key })
    }

    pub(crate) fn open_previous(
        &self,
        id: &DeviceId,
        link: LinkId,
        until: i64,
        sealed: &[u8],
    ) -> Result<TlsSecret, SealBroken> {
        let info = [TLS_PREVIOUS_LABEL, link.bytes(), &until.to_be_bytes(), name(id)];
        Ok(TlsSecret { link, key: self.unwrap(&info, sealed)? })
    }

    /// Equal for equal keys, and tells nothing else without the master key. It lets the database refuse the same
    /// key for two devices.
    pub(crate) fn fingerprint(&self, secret: &Secret) -> [u8; FINGERPRINT_LEN] {
        match secret {
            Secret::AesCbc(secret) => self.cbc_fingerprint(secret),
            Secret::Tls(secret) => self.derive(&[TLS_FINGERPRINT_LABEL, secret.key.as_slice()]),
        }
    }

    pub(crate) fn cbc_fingerprint(&self, secret: &CbcSecret) -> [u8; FINGERPRINT_LEN] {
        self.derive(&[CBC_FINGERPRINT_LABEL, joined(secret).as_slice()])
    }

    /// A value that only this master key opens, to tell a wrong one at once.
    pub(crate) fn check_value(&self) -> [u8; 24] {
        let mut sealed = [0; 24];
        self.kek(&[CHECK_LABEL]).wrap_key(CHECK_PLAINTEXT, &mut sealed).expect("16 bytes wrap into 24");
        sealed
    }

    pub(crate) fn opens_check_value(&self, sealed: &[u8]) -> bool {
        sealed == self.check_value()
    }

    /// The key of the MACs that chain each record of the audit log to the one before.
    pub(crate) fn audit_chain_key(&self) -> ChainKey {
        ChainKey(Zeroizing::new(self.derive(&[AUDIT_CHAIN_LABEL])))
    }

    /// Seals the key under which the audit log was chained up to a record.
    pub(crate) fn seal_chain_key(&self, until: i64, key: &ChainKey) -> [u8; SEALED_LEN] {
        self.wrap(&[FORMER_AUDIT_LABEL, &until.to_be_bytes()], &key.0)
    }

    pub(crate) fn open_chain_key(&self, until: i64, sealed: &[u8]) -> Result<ChainKey, SealBroken> {
        self.unwrap(&[FORMER_AUDIT_LABEL, &until.to_be_bytes()], sealed).map(ChainKey)
    }

    /// The MAC over the number of records and the last one's chain value.
    pub(crate) fn audit_seal(&self, records: i64, head: &[u8; 32]) -> [u8; 32] {
        let key = Zeroizing::new(self.derive(&[AUDIT_SEAL_LABEL]));
        mac(&key, &[&records.to_be_bytes(), head])
    }

    /// Seals bytes of a whole number of blocks of 8, at least two, in their row.
    pub(crate) fn seal_row(&self, row: SealedRow<'_>, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plain.len() + BLOCK_LEN];
        self.row_kek(row).wrap_key(plain, &mut sealed).expect("whole blocks are wrapped into one more");
        sealed
    }

    pub(crate) fn open_row(
        &self,
        row: SealedRow<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
        if sealed.len() < 3 * BLOCK_LEN {
            return Err(SealBroken);
        }
        let mut plain = Zeroizing::new(vec![0; sealed.len() - BLOCK_LEN]);
        self.row_kek(row).unwrap_key(sealed, plain.as_mut_slice()).map_err(|_| SealBroken)?;
        Ok(plain)
    }

    fn row_kek(&self, row: SealedRow<'_>) -> KwAes256 {
        let alarm = |label: &[u8], row: AlarmRow<'_>| {
            let (number, stay) = (row.number.to_be_bytes(), row.stay.to_be_bytes());
            self.kek(&[label, &number, &stay, row.condition.as_bytes(), &[0], row.device.as_bytes()])
        };
        match row {
            SealedRow::Patient { stay } => self.kek(&[PATIENT_LABEL, &stay.to_be_bytes()]),
            SealedRow::AlarmValues(row) => alarm(ALARM_VALUES_LABEL, row),
            SealedRow::AlarmReason(row) => alarm(ALARM_REASON_LABEL, row),
        }
    }

    fn wrap(&self, info: &[&[u8]], plain: &[u8; KEY_LEN]) -> [u8; SEALED_LEN] {
        let mut sealed = [0; SEALED_LEN];
        self.kek(info).wrap_key(plain, &mut sealed).expect("32 bytes wrap into 40");
        sealed
    }

    fn unwrap(&self, info: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, SealBroken> {
        if sealed.len() != SEALED_LEN {
            return Err(SealBroken);
        }
        let mut plain = Zeroizing::new([0; KEY_LEN]);
        self.kek(info).unwrap_key(sealed, plain.as_mut_slice()).map_err(|_| SealBroken)?;
        Ok(plain)
    }

    fn kek(&self, info: &[&[u8]]) -> KwAes256 {
        let kek: Zeroizing<[u8; 32]> = Zeroizing::new(self.derive(info));
        KwAes256::new(&(*kek).into())
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> [u8; N] {
        const { assert!(N <= 32) }
        let mut derived = [0; N];
        self.hkdf.expand_multi_info(info, &mut derived).expect("32 bytes are within HKDF's limit");
        derived
    }
}

/// Under which records of the audit log are chained.
pub(crate) struct ChainKey(Zeroizing<[u8; KEY_LEN]>);

impl ChainKey {
    pub(crate) fn chain(&self, parts: &[&[u8]]) -> [u8; 32] {
        mac(&self.0, parts)
    }
}

fn mac(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes any key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn name(id: &DeviceId) -> &[u8] {
    id.as_str().as_bytes()
}

pub(crate) fn joined(secret: &CbcSecret) -> Zeroizing<[u8; KEY_LEN]> {
    let mut joined = Zeroizing::new([0; KEY_LEN]);
    let (key, iv) = joined.split_at_mut(16);
    key.copy_from_slice(secret.key());
    iv.copy_from_slice(secret.iv());
    joined
}

#[cfg(test)]
mod tests;
