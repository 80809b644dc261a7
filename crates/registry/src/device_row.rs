//! A device's row as stored, and how it is opened. It believes nothing in the row before the seal has opened.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Row;
use vitalwire_access::DeviceId;

use crate::broken::BrokenCause;
use crate::device::{Device, DeviceKey, Protocol};
use crate::directory::DeviceChange;
use crate::error::Result;
use crate::link::{LinkId, LinkKeys, PreviousLink};
use crate::seal::{FINGERPRINT_LEN, SEALED_LEN, SealBroken, Sealer};
use crate::secret::{Secret, TlsSecret};

/// The columns of [`DeviceRow`], in its order.
pub(crate) const DEVICE_COLUMNS: &str =
    "id, protocol, sealed, generation, link, previous_sealed, previous_link, previous_until";

/// A device as stored, not yet believed.
pub(crate) struct DeviceRow<'row> {
    id: &'row str,
    protocol: &'row str,
    sealed: Option<&'row [u8]>,
    generation: i64,
    link: Option<&'row [u8]>,
    previous: PreviousColumns<'row>,
}

/// What a device's row holds under another master key.
pub(crate) struct Resealed {
    pub(crate) sealed: [u8; SEALED_LEN],
    pub(crate) fingerprint: [u8; FINGERPRINT_LEN],
    pub(crate) previous: Option<[u8; SEALED_LEN]>,
}

/// The columns of the key before the last rotation: sealed key, link id, deadline in Unix seconds. All or none are there.
type PreviousColumns<'row> = (Option<&'row [u8]>, Option<&'row [u8]>, Option<i64>);

impl<'row> DeviceRow<'row> {
    pub(crate) fn read(row: &'row Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            // Text that is no UTF-8 can only be a change by hand; as no name it becomes a broken row, not a failed load.
            id: row.get_ref(0)?.as_str().unwrap_or_default(),
            protocol: row.get_ref(1)?.as_str().unwrap_or_default(),
            sealed: row.get_ref(2)?.as_blob_or_null()?,
            generation: row.get(3)?,
            link: row.get_ref(4)?.as_blob_or_null()?,
            previous: (row.get_ref(5)?.as_blob_or_null()?, row.get_ref(6)?.as_blob_or_null()?, row.get(7)?),
        })
    }

    /// False for the tombstone of a revoked device.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.sealed.is_some()
    }

    pub(crate) fn is_for(&self, protocol: Protocol) -> bool {
        self.protocol == protocol.as_str()
    }

    /// The same keys, sealed by another.
    pub(crate) fn reseal(&self, from: &Sealer, to: &Sealer) -> Result<Resealed, BrokenCause> {
        let id: DeviceId = self.id.parse().map_err(|_| BrokenCause::Name)?;
        let secret = match self.protocol.parse()? {
            Protocol::AesCbc => from.open_cbc(&id, self.sealed.unwrap_or_default()).map(Secret::AesCbc),
            Protocol::Tls => self.open_tls(&id, from).map(Secret::Tls),
        };
        let secret = secret.map_err(|SealBroken| BrokenCause::Seal)?;
        let previous = match self.previous {
            (Some(sealed), link, Some(until)) => {
                let opened = link_id(link).and_then(|link| from.open_previous(&id, link, until, sealed));
                let secret = opened.map_err(|SealBroken| BrokenCause::Seal)?;
                Some(to.seal_previous(&id, &secret, until))
            }
            _ => None,
        };
        Ok(Resealed { sealed: to.seal(&id, &secret), fingerprint: to.fingerprint(&secret), previous })
    }

    pub(crate) fn open(&self, sealer: &Sealer) -> Result<Device, BrokenCause> {
        let id: DeviceId = self.id.parse().map_err(|_| BrokenCause::Name)?;
        let protocol = self.protocol.parse()?;
        let generation =
            u32::try_from(self.generation).map_err(|_| BrokenCause::Generation(self.generation))?;
        let key = match protocol {
            Protocol::AesCbc => sealer.open_cbc(&id, self.sealed.unwrap_or_default()).map(DeviceKey::AesCbc),
            Protocol::Tls => self.open_links(&id, sealer).map(DeviceKey::Tls),
        };
        Ok(Device { key: key.map_err(|SealBroken| BrokenCause::Seal)?, id, generation })
    }

    /// The present TLS key itself, which only a rotation needs: it is sealed again as the previous one.
    pub(crate) fn open_tls(&self, id: &DeviceId, sealer: &Sealer) -> Result<TlsSecret, SealBroken> {
        sealer.open_tls(id, link_id(self.link)?, self.sealed.unwrap_or_default())
    }

    fn open_links(&self, id: &DeviceId, sealer: &Sealer) -> Result<LinkKeys, SealBroken> {
        let current = self.open_tls(id, sealer)?.to_link();
        let previous = match self.previous {
            (None, None, None) => None,
            (Some(sealed), link, Some(until)) => {
                let secret = sealer.open_previous(id, link_id(link)?, until, sealed)?;
                Some(PreviousLink { link: secret.to_link(), valid_until: unix_time(until)? })
            }
            _ => return Err(SealBroken),
        };
        Ok(LinkKeys { current, previous })
    }

    pub(crate) fn into_change(self, sealer: &Sealer) -> DeviceChange {
        let opened = match (self.sealed, self.id.parse()) {
            (None, Ok(id)) => return DeviceChange::Revoked(id),
            _ => self.open(sealer),
        };
        match opened {
            Ok(device) => DeviceChange::Present(Arc::new(device)),
            Err(cause) => DeviceChange::Broken(self.id.to_owned(), cause),
        }
    }
}

fn link_id(column: Option<&[u8]>) -> Result<LinkId, SealBroken> {
    column.and_then(|bytes| bytes.try_into().ok()).map(LinkId::new).ok_or(SealBroken)
}

fn unix_time(seconds: i64) -> Result<SystemTime, SealBroken> {
    let seconds = u64::try_from(seconds).map_err(|_| SealBroken)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(SealBroken)
}
