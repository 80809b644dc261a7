//! Devices in the store: enrolling, giving new keys, revoking and reading them. It never keeps an opened key of its own:
//! what it hands out is zeroized by who drops it.

use std::time::{Duration, SystemTime};

use rusqlite::Row;
use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;

use crate::audit::AuditKind;
use crate::change::Change;
use crate::device::{Device, DeviceKey, Protocol};
use crate::device_row::{DEVICE_COLUMNS, DeviceRow};
use crate::error::{RegistryError, Result};
use crate::limits::ROTATION_OVERLAP_MAX;
use crate::link::{Link, LinkId, LinkKeys, PreviousLink};
use crate::secret::{Secret, TlsSecret, generate_cbc_secret};
use crate::store::Registry;
use crate::time::from_unix_seconds;

/// What a person may know about a device: everything but its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub id: DeviceId,
    /// What it speaks.
    pub protocol: Protocol,
    /// 1 for the first key ever enrolled under this name, one more with each new key.
    pub generation: u32,
    /// When it was enrolled (for the last time, if it was revoked in between), to the second.
    pub enrolled_at: SystemTime,
    /// When its present key was set, to the second.
    pub key_set_at: SystemTime,
    /// The present link id of a device that speaks TLS.
    pub link: Option<LinkId>,
    /// Until when its link before the last rotation works, unless the present one is used before. It may be past.
    pub previous_link_until: Option<SystemTime>,
}

/// A fresh key that no device has yet. Show it to the person first and store it afterwards: then no device is left with a
/// key that no one saw.
pub struct FreshKey(Secret);

impl FreshKey {
    /// Draws one from the operating system's random source.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn generate(protocol: Protocol) -> Result<Self> {
        Ok(Self(match protocol {
            Protocol::AesCbc => Secret::AesCbc(generate_cbc_secret()?),
            Protocol::Tls => Secret::Tls(TlsSecret::generate()?),
        }))
    }

    /// What must be written into the device.
    #[must_use]
    pub fn key(&self) -> DeviceKey {
        match &self.0 {
            Secret::AesCbc(secret) => DeviceKey::AesCbc(secret.clone()),
            Secret::Tls(secret) => DeviceKey::Tls(LinkKeys { current: secret.to_link(), previous: None }),
        }
    }
}

impl Registry {
    /// Whether [`Registry::enrol`] would succeed now. Changes nothing.
    ///
    /// # Errors
    /// As [`Registry::enrol`].
    pub fn check_enrol(&self, id: &DeviceId, fresh: &FreshKey) -> Result<()> {
        self.rehearse(|change| enrol_all(change, &[(id, &fresh.0)]))
    }

    /// Enrols a device with a key that was shown. A revoked name may be enrolled again; it gets the next generation.
    ///
    /// # Errors
    /// When the name is enrolled or waits for an erasure, or the registry is full.
    pub fn enrol(&self, id: &DeviceId, fresh: &FreshKey) -> Result<()> {
        self.change(|change| enrol_all(change, &[(id, &fresh.0)]))
    }

    /// Whether [`Registry::rotate_to`] would succeed now. Changes nothing.
    ///
    /// # Errors
    /// As [`Registry::rotate_to`].
    pub fn check_rotation(&self, id: &DeviceId, fresh: &FreshKey, overlap: Duration) -> Result<()> {
        check_overlap(overlap)?;
        self.rehearse(|change| rotate(change, id, &fresh.0, overlap)).map(|_| ())
    }

    /// Gives a device a key that was shown; as [`Registry::rotate_device`] in all else. Gives back the old link of a TLS
    /// device while it still works.
    ///
    /// # Errors
    /// When the device is not enrolled, speaks another protocol than the key is for, or the overlap is over
    /// [`ROTATION_OVERLAP_MAX`].
    pub fn rotate_to(
        &self,
        id: &DeviceId,
        fresh: &FreshKey,
        overlap: Duration,
    ) -> Result<Option<PreviousLink>> {
        check_overlap(overlap)?;
        self.change(|change| rotate(change, id, &fresh.0, overlap))
    }

    /// Enrols a device for TLS with a fresh key, and gives back its link: what must be written into the device. A revoked
    /// name may be enrolled again; it gets the next generation.
    ///
    /// # Errors
    /// When the name is enrolled or waits for an erasure, or the registry is full.
    pub fn add_tls_device(&self, id: &DeviceId) -> Result<Link> {
        let secret = TlsSecret::generate()?;
        let link = secret.to_link();
        self.add_all(&[(id, Secret::Tls(secret))])?;
        Ok(link)
    }

    /// Enrols several devices for TLS, all or none; the links come in the order of the names.
    ///
    /// # Errors
    /// As [`Registry::add_tls_device`], for the first device that cannot be enrolled.
    pub fn add_tls_devices(&self, ids: &[DeviceId]) -> Result<Vec<Link>> {
        let secrets = ids.iter().map(|_| TlsSecret::generate()).collect::<Result<Vec<_>>>()?;
        let links = secrets.iter().map(TlsSecret::to_link).collect();
        let devices: Vec<_> = ids.iter().zip(secrets.into_iter().map(Secret::Tls)).collect();
        self.add_all(&devices)?;
        Ok(links)
    }

    /// Enrols a device for AES-CBC frames, with the given key or with a fresh one (16 printable characters each for key
    /// and IV, 96 bits of entropy each), and gives back the key. A revoked name may be enrolled again; it gets the next
    /// generation.
    ///
    /// # Errors
    /// When the name is enrolled or waits for an erasure, another device has this key, or the registry is full.
    pub fn add_cbc_device(&self, id: &DeviceId, secret: Option<CbcSecret>) -> Result<CbcSecret> {
        let secret = match secret {
            Some(secret) => secret,
            None => generate_cbc_secret()?,
        };
        self.add_all(&[(id, Secret::AesCbc(secret.clone()))])?;
        Ok(secret)
    }

    /// Enrols several devices for AES-CBC frames, all or none.
    ///
    /// # Errors
    /// As [`Registry::add_cbc_device`], for the first device that cannot be enrolled.
    pub fn add_cbc_devices(&self, devices: &[(DeviceId, CbcSecret)]) -> Result<()> {
        let devices: Vec<_> =
            devices.iter().map(|(id, secret)| (id, Secret::AesCbc(secret.clone()))).collect();
        self.add_all(&devices)
    }

    fn add_all(&self, devices: &[(&DeviceId, Secret)]) -> Result<()> {
        let devices: Vec<_> = devices.iter().map(|(id, secret)| (*id, secret)).collect();
        self.change(|change| enrol_all(change, &devices))
    }

    /// All enrolled devices whose rows are sound, by name. Those that are not are in [`crate::Directory::broken`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS}, enrolled_at, key_set_at FROM devices WHERE sealed IS NOT NULL ORDER BY id"
        ))?;
        let rows = statement.query_map([], |row| {
            Ok(DeviceRow::read(row)?.open(&self.sealer).ok().map(|device| device_info(device, row)))
        })?;
        rows.filter_map(|row| row.map_err(RegistryError::from).and_then(Option::transpose).transpose())
            .collect()
    }

    /// One device, without its key.
    ///
    /// # Errors
    /// When it is not enrolled, or its row cannot be trusted.
    pub fn device(&self, id: &DeviceId) -> Result<DeviceInfo> {
        self.read_device(id, device_info)
    }

    /// The key of one device, for a person who must write it into the device. The audit log tells who saw it.
    ///
    /// # Errors
    /// When it is not enrolled, its row cannot be trusted, or the file cannot be written.
    pub fn device_key(&self, id: &DeviceId) -> Result<DeviceKey> {
        let key = self.read_device(id, |device, _| Ok(device.key))?;
        self.append_only(|change| change.record(AuditKind::KeyShown, id.as_str(), key.protocol().as_str()))?;
        Ok(key)
    }

    fn read_device<T>(&self, id: &DeviceId, read: impl Fn(Device, &Row<'_>) -> Result<T>) -> Result<T> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS}, enrolled_at, key_set_at FROM devices WHERE sealed IS NOT NULL AND id = ?1"
        ))?;
        let mut rows = statement.query([id.as_str()])?;
        let row = rows.next()?.ok_or_else(|| RegistryError::DeviceUnknown(id.clone()))?;
        let device = DeviceRow::read(row)?
            .open(&self.sealer)
            .map_err(|cause| RegistryError::DeviceBroken { id: id.clone(), cause })?;
        read(device, row)
    }

    /// Gives a device a fresh key, and gives back all its keys.
    ///
    /// TLS: the new link works at once, and the old one until the new one is first used or `overlap` is over; a rotation
    /// that is still pending loses its oldest link. AES-CBC: `overlap` is ignored, as frames do not say which key they are
    /// under; the old key is refused as soon as servers see the change.
    ///
    /// # Errors
    /// When it is not enrolled, or the overlap is over [`ROTATION_OVERLAP_MAX`].
    pub fn rotate_device(&self, id: &DeviceId, overlap: Duration) -> Result<DeviceKey> {
        check_overlap(overlap)?;
        self.change(|change| {
            let fresh = FreshKey::generate(change.protocol(id)?)?;
            let previous = rotate(change, id, &fresh.0, overlap)?;
            Ok(match fresh.key() {
                DeviceKey::Tls(links) => DeviceKey::Tls(LinkKeys { previous, ..links }),
                key => key,
            })
        })
    }

    /// Ends a pending rotation: the device has shown that it holds its new key, so the old one is forgotten. Tells whether
    /// there was one to end; there is not when it was ended already, or when `link` is not the device's current link.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn confirm_rotation(&self, id: &DeviceId, link: &LinkId) -> Result<bool> {
        // Asked first without the write lock: servers call this at each connection under a current link.
        let mut statement = self.connection.prepare_cached(
            "SELECT 1 FROM devices WHERE id = ?1 AND link = ?2 AND previous_sealed IS NOT NULL",
        )?;
        if !statement.exists((id.as_str(), link.bytes()))? {
            return Ok(false);
        }
        self.change(|change| change.forget_previous(id, link))
    }

    /// Takes a device out of service, forgets its keys, and takes it out of the scopes of readers: if the name is enrolled
    /// again, perhaps on another patient, no one sees it who was not given it again.
    ///
    /// # Errors
    /// When it is not enrolled.
    pub fn revoke_device(&self, id: &DeviceId) -> Result<()> {
        self.change(|change| change.revoke(id))
    }
}

fn enrol_all(change: &Change<'_>, devices: &[(&DeviceId, &Secret)]) -> Result<()> {
    devices.iter().try_for_each(|(id, secret)| change.enrol(id, secret))?;
    change.check_device_limit()
}

fn check_overlap(overlap: Duration) -> Result<()> {
    if overlap > ROTATION_OVERLAP_MAX {
        return Err(RegistryError::OverlapTooLong { days: overlap.as_secs().div_ceil(24 * 3600) });
    }
    Ok(())
}

fn rotate(
    change: &Change<'_>,
    id: &DeviceId,
    fresh: &Secret,
    overlap: Duration,
) -> Result<Option<PreviousLink>> {
    if change.protocol(id)? != fresh.protocol() {
        return Err(RegistryError::ProtocolChanged(id.clone()));
    }
    let retired = match fresh {
        Secret::AesCbc(_) => None,
        Secret::Tls(_) => change.retire_link(id, overlap)?,
    };
    change.set_key(id, fresh, retired.as_ref())?;
    Ok(retired.map(|retired| retired.to_previous_link()))
}

fn device_info(device: Device, row: &Row<'_>) -> Result<DeviceInfo> {
    let links = device.key.links();
    Ok(DeviceInfo {
        protocol: device.protocol(),
        generation: device.generation,
        enrolled_at: from_unix_seconds(row.get("enrolled_at")?),
        key_set_at: from_unix_seconds(row.get("key_set_at")?),
        link: links.map(|links| links.current.id),
        previous_link_until: links
            .and_then(|links| links.previous.as_ref())
            .map(|previous| previous.valid_until),
        id: device.id,
    })
}
