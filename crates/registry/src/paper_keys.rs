//! The paper's key file, `DEVICES_KEYS.txt`: one JSON object a line,
//! `{ "id":"iot_med_dev_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}`; blank lines are allowed. Errors name
//! the line and the cause, and never show a key, not even a malformed one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;
use serde_json::error::Category;
use vitalwire_access::{DeviceId, NameError};
use vitalwire_protocol::CbcSecret;
use zeroize::Zeroizing;

use crate::broken::BrokenCause;
use crate::change::{Change, Stored};
use crate::device::DeviceKey;
use crate::error::RegistryError;
use crate::limits::DEVICES_MAX;
use crate::secret::Secret;
use crate::store::Registry;

/// The longest line, in bytes without its end.
pub const LINE_LEN_MAX: usize = 1024;
const KEY_LEN: usize = 16;

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Devices newly enrolled.
    pub added: usize,
    /// Devices that were enrolled with the same key already.
    pub unchanged: usize,
}

/// A key file was not taken. Nothing of it was imported. Lines count from 1.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImportError {
    #[error("cannot read on after line {line}: {source}; nothing was imported")]
    Read { line: usize, source: io::Error },
    #[error("line {line}: {fault}; nothing was imported")]
    Line { line: usize, fault: LineFault },
    #[error("{0}; nothing was imported")]
    Registry(#[from] RegistryError),
}

impl ImportError {
    /// The line at fault, if one is.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Line { line, .. } => Some(*line),
            Self::Read { .. } | Self::Registry(_) => None,
        }
    }
}

/// What is wrong with a line. Columns count from 1.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LineFault {
    #[error("it is longer than {LINE_LEN_MAX} bytes")]
    TooLong,
    #[error(
        r#"column {column} is where it stops being a JSON object like {{ "id":"…", "key":"…", "iv":"…" }}"#
    )]
    NotJson { column: usize },
    #[error(
        "before column {column} it is not as expected: the fields id, key and iv, once each, each a string"
    )]
    Shape { column: usize },
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    #[error("the id cannot be used: {0}")]
    Id(NameError),
    #[error("device {id}: {field:?} has {len} bytes and needs {KEY_LEN}")]
    KeyLength {
        id: DeviceId,
        /// `key` or `iv`.
        field: &'static str,
        len: usize,
    },
    #[error("device {id}: {field:?} has characters that are not ASCII")]
    KeyNotAscii {
        id: DeviceId,
        /// `key` or `iv`.
        field: &'static str,
    },
    #[error("device {id} was already given in line {first}")]
    Repeated { id: DeviceId, first: usize },
    #[error("there are more than {DEVICES_MAX} devices")]
    TooMany,
    #[error(
        "device {0} is enrolled with another key; give it a fresh one with `vitalwire device rotate`, or revoke it and \
         import again"
    )]
    OtherKey(DeviceId),
    #[error(
        "device {0} was revoked with this key; take the line out, or enrol the device on purpose with \
         `vitalwire device add`"
    )]
    RevokedKey(DeviceId),
    #[error(
        "device {0} was revoked, and since the master key was rotated no one can tell whether with this key; take the line \
         out, or enrol the device on purpose with `vitalwire device add`"
    )]
    RevokedBefore(DeviceId),
    #[error("device {id} cannot be compared: {cause}")]
    Broken { id: DeviceId, cause: BrokenCause },
    #[error("{0}")]
    Enrol(RegistryError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    iv: Option<Cow<'a, str>>,
}

struct PaperKey {
    line: usize,
    id: DeviceId,
    secret: CbcSecret,
}

/// Reads a key file whole.
///
/// # Errors
/// For the first line that is at fault.
pub fn parse_paper_keys(reader: impl Read) -> Result<Vec<(DeviceId, CbcSecret)>, ImportError> {
    Ok(parse(reader)?.into_iter().map(|key| (key.id, key.secret)).collect())
}

impl Registry {
    /// Imports a key file, all or nothing. A device that is enrolled with the same key counts as unchanged.
    ///
    /// # Errors
    /// For the first line that is at fault: it cannot be read, its device is enrolled with another key, was revoked with
    /// this key, or has the key of another device.
    pub fn import_paper_keys(&self, reader: impl Read) -> Result<ImportReport, ImportError> {
        let keys = parse(reader)?;
        self.change(|change| {
            let mut report = ImportReport::default();
            for key in &keys {
                let added =
                    import(change, key).map_err(|fault| ImportError::Line { line: key.line, fault })?;
                *(if added { &mut report.added } else { &mut report.unchanged }) += 1;
            }
            change.check_device_limit()?;
            Ok(report)
        })
    }
}

/// Whether the device was new.
fn import(change: &Change<'_>, key: &PaperKey) -> Result<bool, LineFault> {
    let PaperKey { id, secret, .. } = key;
    match change.stored(id, secret).map_err(LineFault::Enrol)? {
        Stored::Enrolled(Ok(DeviceKey::AesCbc(stored))) if stored == *secret => return Ok(false),
        Stored::Enrolled(Ok(_)) => return Err(LineFault::OtherKey(id.clone())),
        Stored::Enrolled(Err(cause)) => return Err(LineFault::Broken { id: id.clone(), cause }),
        Stored::Revoked { with_this_key: Some(true) } => return Err(LineFault::RevokedKey(id.clone())),
        Stored::Revoked { with_this_key: None } => return Err(LineFault::RevokedBefore(id.clone())),
        Stored::Revoked { with_this_key: Some(false) } | Stored::Nothing => {}
    }
    change.enrol(id, &Secret::AesCbc(secret.clone())).map_err(LineFault::Enrol)?;
    Ok(true)
}

fn parse(reader: impl Read) -> Result<Vec<PaperKey>, ImportError> {
    let mut reader = BufReader::new(reader);
    let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_LEN_MAX + 2));
    let mut keys = Vec::new();
    let mut lines_by_id = HashMap::new();
    let mut line = 0;
    while read_line(&mut reader, &mut bytes).map_err(|source| ImportError::Read { line, source })? {
        line += 1;
        let key = parse_line(&bytes, line).and_then(|key| check_new(key, &mut lines_by_id));
        keys.extend(key.map_err(|fault| ImportError::Line { line, fault })?);
        if keys.len() > DEVICES_MAX {
            return Err(ImportError::Line { line, fault: LineFault::TooMany });
        }
    }
    Ok(keys)
}

/// Fills `bytes` with the next line, at most two bytes more than it may have; false at the end of the file.
fn read_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let limit = u64::try_from(LINE_LEN_MAX + 2).unwrap_or(u64::MAX);
    Ok(reader.take(limit).read_until(b'\n', bytes)? > 0)
}

/// The key of a line; `None` for a blank one.
fn parse_line(bytes: &[u8], line: usize) -> Result<Option<PaperKey>, LineFault> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    // Windows editors put a byte order mark first.
    let bytes = if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
    if bytes.len() > LINE_LEN_MAX {
        return Err(LineFault::TooLong);
    }
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    // serde would also read an array of three strings.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(LineFault::NotJson { column: 1 });
    }
    // serde_json's own message is not passed on: it quotes the value it did not like, which may be a key.
    let fields: Line<'_> = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => LineFault::Shape { column: error.column() },
        Category::Syntax | Category::Eof | Category::Io => LineFault::NotJson { column: error.column() },
    })?;
    let id = fields.id.ok_or(LineFault::Missing("id"))?;
    let id: DeviceId = id.parse().map_err(LineFault::Id)?;
    let key = key_bytes(&id, "key", fields.key)?;
    let iv = key_bytes(&id, "iv", fields.iv)?;
    Ok(Some(PaperKey { line, id, secret: CbcSecret::new(*key, *iv) }))
}

fn key_bytes(
    id: &DeviceId,
    field: &'static str,
    text: Option<Cow<'_, str>>,
) -> Result<Zeroizing<[u8; KEY_LEN]>, LineFault> {
    // An escape in the text makes serde copy it; the copy is wiped, as the line is.
    let copy;
    let text = match text.ok_or(LineFault::Missing(field))? {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => {
            copy = Zeroizing::new(text);
            copy.as_str()
        }
    };
    if !text.is_ascii() {
        return Err(LineFault::KeyNotAscii { id: id.clone(), field });
    }
    let bytes = text.as_bytes().try_into().map(Zeroizing::new);
    bytes.map_err(|_| LineFault::KeyLength { id: id.clone(), field, len: text.len() })
}

fn check_new(
    key: Option<PaperKey>,
    lines_by_id: &mut HashMap<DeviceId, usize>,
) -> Result<Option<PaperKey>, LineFault> {
    let Some(key) = key else { return Ok(None) };
    match lines_by_id.insert(key.id.clone(), key.line) {
        Some(first) => Err(LineFault::Repeated { id: key.id, first }),
        None => Ok(Some(key)),
    }
}

#[cfg(test)]
mod tests;
