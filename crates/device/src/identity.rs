//! What a device is given when it is made: how it proves itself to its server, and its setup key. It lies in a sector of the
//! flash that the device only reads.
//!
//! ```text
//! record: "VWID" | length of the CBOR, u16 | CBOR | CRC-32 of the CBOR, u32        numbers little-endian
//! CBOR:   {0: 1, 1: name, 2: setup key, 3: seed, ? 4: access point's password, (5: [link id, psk] // 6: [key, iv]), ? 7: tag}
//! ```

use heapless::String;
use minicbor::encode::write::Cursor;
use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crc::Crc32;

/// Characters of the name that the configuration page shows, at most.
pub const NAME_LEN_MAX: usize = 64;
/// Bytes of a setup key.
pub const SETUP_KEY_LEN: usize = 16;
/// Characters of the password of the device's own network (WPA2), at most.
pub const ACCESS_POINT_PASSWORD_LEN_MAX: usize = 63;
/// Bytes of a device's tag.
pub const TAG_LEN: usize = 16;
/// Sets the tags apart from all other uses of SHA-256.
const TAG_DOMAIN: &[u8] = b"vitalwire device tag v2";

/// Bytes of a record, at most.
pub const RECORD_LEN_MAX: usize = 512;

const MAGIC: [u8; 4] = *b"VWID";
/// What an erased byte reads as.
const ERASED: u8 = 0xff;
/// The only version of the record.
const VERSION: u64 = 1;

/// Keys of the record's map.
mod field {
    pub(super) const VERSION: u64 = 0;
    pub(super) const NAME: u64 = 1;
    pub(super) const SETUP_KEY: u64 = 2;
    pub(super) const SEED: u64 = 3;
    pub(super) const ACCESS_POINT_PASSWORD: u64 = 4;
    pub(super) const LINK: u64 = 5;
    pub(super) const FRAMES: u64 = 6;
    pub(super) const TAG: u64 = 7;
}

/// The identity. Printing it shows no key.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Identity {
    /// What the configuration page shows: the link id, or the name of a device with AES-CBC frames.
    pub name: String<NAME_LEN_MAX>,
    /// What saves of the configuration page are sealed with; it is on the label.
    pub setup_key: [u8; SETUP_KEY_LEN],
    /// Mixed into the random source, so that two devices never draw alike.
    pub seed: [u8; 32],
    /// The password of the device's own network; without it that network is open, as in the paper.
    pub access_point_password: Option<String<ACCESS_POINT_PASSWORD_LEN_MAX>>,
    /// How it proves itself to its server.
    pub credentials: Credentials,
    /// Which enrolment it is of, as [`tag_of`] says: the same after a rotation of its key, whose link id is another, and another
    /// when the name was enrolled again. What was measured as one device is never delivered as another ([`ownership`](crate::ownership)).
    pub tag: [u8; TAG_LEN],
}

/// How a device proves itself. A device is enrolled for exactly one protocol.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub enum Credentials {
    /// TLS 1.3 with a pre-shared key, batches (PROTOCOL.md §4).
    Link {
        /// The link id, 32 lowercase hexadecimal digits: the identity of the key on the wire.
        id: [u8; 32],
        /// The pre-shared key.
        psk: [u8; 32],
    },
    /// The paper's AES-CBC frames (PROTOCOL.md §2).
    Frames {
        /// The AES-128 key.
        key: [u8; 16],
        /// The initialisation vector.
        iv: [u8; 16],
    },
}

/// The tag of the device that was enrolled under this name at this moment, in seconds of Unix time: the first bytes of SHA-256
/// over `"vitalwire device tag v2" ‖ moment, u64 big-endian ‖ name`.
#[must_use]
pub fn tag_of(name: &str, enrolled_s: u64) -> [u8; TAG_LEN] {
    let hash = Sha256::new().chain_update(TAG_DOMAIN).chain_update(enrolled_s.to_be_bytes());
    let hash: [u8; 32] = hash.chain_update(name).finalize().into();
    let mut tag = [0; TAG_LEN];
    for (to, from) in tag.iter_mut().zip(hash) {
        *to = from;
    }
    tag
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Link { .. } => "Link",
            Self::Frames { .. } => "Frames",
        })
    }
}

/// Why there is no identity in what the flash holds. A person reads it in the device's log, or when a device is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdentityError {
    #[error("no identity is in the flash, but something else; write the device's identity file to it")]
    Magic,
    #[error(
        "the identity is cut off: {len} bytes of CBOR are announced, {available} are there; write it again"
    )]
    Cut { len: usize, available: usize },
    #[error(
        "the identity is damaged: its check is {found:#010x} and should be {expected:#010x}; write it again"
    )]
    Damaged {
        /// Of the CBOR that is there.
        found: u32,
        /// As the record says.
        expected: u32,
    },
    #[error("the identity is of version {version}; this firmware reads version {VERSION}")]
    Version { version: u64 },
    #[error("field {field} of the identity is missing or not as it should be; make the identity again")]
    Field {
        /// The key in the record's map.
        field: u64,
    },
    #[error("the identity does not fit into {available} bytes")]
    OutputTooSmall { available: usize },
}

impl Identity {
    /// Reads the record at the begin of `flash`; `None` where the flash is erased.
    ///
    /// # Errors
    /// Something else is there, or a record that is not whole and right.
    pub fn decode(flash: &[u8]) -> Result<Option<Self>, IdentityError> {
        let Some((magic, rest)) = flash.split_first_chunk::<4>() else {
            return Err(IdentityError::Magic);
        };
        if magic.iter().all(|byte| *byte == ERASED) {
            return Ok(None);
        }
        if *magic != MAGIC {
            return Err(IdentityError::Magic);
        }
        let Some((len, rest)) = rest.split_first_chunk::<2>() else {
            return Err(IdentityError::Cut { len: 0, available: 0 });
        };
        let len = usize::from(u16::from_le_bytes(*len));
        let (Some(cbor), Some(Some(check))) =
            (rest.get(..len), rest.get(len..).map(|rest| rest.first_chunk::<4>()))
        else {
            return Err(IdentityError::Cut { len, available: rest.len().saturating_sub(4) });
        };
        let (found, expected) = (Crc32::new().over(cbor).end(), u32::from_le_bytes(*check));
        if found != expected {
            return Err(IdentityError::Damaged { found, expected });
        }
        Fields::read(cbor)?.into_identity().map(Some)
    }

    /// Writes the record into `out` and returns its length, at most [`RECORD_LEN_MAX`].
    ///
    /// # Errors
    /// A name or a password outside its limits, or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, IdentityError> {
        let available = out.len();
        let too_small = IdentityError::OutputTooSmall { available };
        self.check()?;
        let (magic, rest) = out.split_first_chunk_mut::<4>().ok_or(too_small)?;
        let (announced, rest) = rest.split_first_chunk_mut::<2>().ok_or(too_small)?;
        let mut encoder = Encoder::new(Cursor::new(&mut *rest));
        self.write(&mut encoder).map_err(|_| too_small)?;
        let len = encoder.writer().position();
        let (cbor, rest) = rest.split_at_mut_checked(len).ok_or(too_small)?;
        let check = rest.first_chunk_mut::<4>().ok_or(too_small)?;
        *magic = MAGIC;
        *announced = u16::try_from(len).map_err(|_| too_small)?.to_le_bytes();
        *check = Crc32::new().over(cbor).end().to_le_bytes();
        Ok(4 + 2 + len + 4)
    }

    fn write(&self, encoder: &mut Encoder<Cursor<&mut [u8]>>) -> Result<(), WriteError> {
        encoder.map(6 + u64::from(self.access_point_password.is_some()))?;
        encoder.u64(field::VERSION)?.u64(VERSION)?;
        encoder.u64(field::NAME)?.str(&self.name)?;
        encoder.u64(field::SETUP_KEY)?.bytes(&self.setup_key)?;
        encoder.u64(field::SEED)?.bytes(&self.seed)?;
        if let Some(password) = &self.access_point_password {
            encoder.u64(field::ACCESS_POINT_PASSWORD)?.str(password)?;
        }
        match &self.credentials {
            Credentials::Link { id, psk } => {
                let id = core::str::from_utf8(id).unwrap_or_default();
                encoder.u64(field::LINK)?.array(2)?.str(id)?.bytes(psk)?
            }
            Credentials::Frames { key, iv } => encoder.u64(field::FRAMES)?.array(2)?.bytes(key)?.bytes(iv)?,
        };
        encoder.u64(field::TAG)?.bytes(&self.tag)?;
        Ok(())
    }

    fn check(&self) -> Result<(), IdentityError> {
        let refuse = |field| Err(IdentityError::Field { field });
        if self.name.is_empty() || !is_printable(&self.name) {
            return refuse(field::NAME);
        }
        let is_password = |password: &String<_>| password.len() >= 8 && is_printable(password);
        if !self.access_point_password.as_ref().is_none_or(is_password) {
            return refuse(field::ACCESS_POINT_PASSWORD);
        }
        match &self.credentials {
            Credentials::Link { id, .. }
                if !id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) =>
            {
                refuse(field::LINK)
            }
            _ => Ok(()),
        }
    }
}

type WriteError = minicbor::encode::Error<minicbor::encode::write::EndOfSlice>;

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// What a record's map holds so far.
#[derive(Default)]
struct Fields<'b> {
    version: Option<u64>,
    name: Option<&'b str>,
    setup_key: Option<&'b [u8]>,
    seed: Option<&'b [u8]>,
    access_point_password: Option<&'b str>,
    link: Option<(&'b str, &'b [u8])>,
    frames: Option<(&'b [u8], &'b [u8])>,
    tag: Option<&'b [u8]>,
}

impl<'b> Fields<'b> {
    /// Reads every field; those of later versions are passed over.
    fn read(cbor: &'b [u8]) -> Result<Self, IdentityError> {
        let mut decoder = Decoder::new(cbor);
        let version = |_| IdentityError::Field { field: field::VERSION };
        let count = decoder.map().map_err(version)?.ok_or(IdentityError::Field { field: field::VERSION })?;
        let mut fields = Self::default();
        for _ in 0..count {
            let field = decoder.u64().map_err(version)?;
            fields.read_field(field, &mut decoder).map_err(|_| IdentityError::Field { field })?;
        }
        Ok(fields)
    }

    fn read_field(&mut self, field: u64, decoder: &mut Decoder<'b>) -> Result<(), minicbor::decode::Error> {
        match field {
            field::VERSION => self.version = Some(decoder.u64()?),
            field::NAME => self.name = Some(decoder.str()?),
            field::SETUP_KEY => self.setup_key = Some(decoder.bytes()?),
            field::SEED => self.seed = Some(decoder.bytes()?),
            field::ACCESS_POINT_PASSWORD => self.access_point_password = Some(decoder.str()?),
            field::LINK => {
                pair(decoder)?;
                self.link = Some((decoder.str()?, decoder.bytes()?));
            }
            field::FRAMES => {
                pair(decoder)?;
                self.frames = Some((decoder.bytes()?, decoder.bytes()?));
            }
            field::TAG => self.tag = Some(decoder.bytes()?),
            _ => decoder.skip()?,
        }
        Ok(())
    }

    fn into_identity(self) -> Result<Identity, IdentityError> {
        let wrong = |field| IdentityError::Field { field };
        match self.version {
            Some(VERSION) => {}
            Some(version) => return Err(IdentityError::Version { version }),
            None => return Err(wrong(field::VERSION)),
        }
        let credentials = match (self.link, self.frames) {
            (Some((id, psk)), None) => Credentials::Link {
                id: id.as_bytes().try_into().map_err(|_| wrong(field::LINK))?,
                psk: psk.try_into().map_err(|_| wrong(field::LINK))?,
            },
            (None, Some((key, iv))) => Credentials::Frames {
                key: key.try_into().map_err(|_| wrong(field::FRAMES))?,
                iv: iv.try_into().map_err(|_| wrong(field::FRAMES))?,
            },
            // A device is enrolled for exactly one protocol.
            _ => return Err(wrong(field::LINK)),
        };
        let password = self.access_point_password.map(String::try_from).transpose();
        let name = self.name.and_then(|name| String::try_from(name).ok());
        let name: String<NAME_LEN_MAX> = name.ok_or(wrong(field::NAME))?;
        let tag = match self.tag {
            // Of a time when records had none.
            None => tag_of(&name, 0),
            tag => array(tag, field::TAG)?,
        };
        let identity = Identity {
            name,
            setup_key: array(self.setup_key, field::SETUP_KEY)?,
            seed: array(self.seed, field::SEED)?,
            access_point_password: password.map_err(|_| wrong(field::ACCESS_POINT_PASSWORD))?,
            credentials,
            tag,
        };
        identity.check()?;
        Ok(identity)
    }
}

fn pair(decoder: &mut Decoder<'_>) -> Result<(), minicbor::decode::Error> {
    match decoder.array()? {
        Some(2) => Ok(()),
        _ => Err(minicbor::decode::Error::message("two items")),
    }
}

fn array<const N: usize>(bytes: Option<&[u8]>, field: u64) -> Result<[u8; N], IdentityError> {
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(IdentityError::Field { field })
}

#[cfg(test)]
mod tests;
