//! A device's row as stored, and how it is opened. It believes nothing in the row before the seal has opened.

use crate::directory::{BrokenCause, Device, DeviceChange};
use crate::error::Result;
use crate::id::DeviceId;
use crate::key::Sealer;
use rusqlite::Row;
use std::sync::Arc;

/// The columns of [`DeviceRow`], in its order.
pub(crate) const DEVICE_COLUMNS: &str = "id, protocol, sealed, generation";

/// A device as stored, not yet believed.
pub(crate) struct DeviceRow<'row> {
    id: &'row str,
    protocol: &'row str,
    sealed: Option<&'row [u8]>,
    generation: i64,
}

impl<'row> DeviceRow<'row> {
    pub(crate) fn read(row: &'row Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            // Text that is no UTF-8 can only be a change by hand; as no name it becomes a broken row, not a failed load.
            id: row.get_ref(0)?.as_str().unwrap_or_default(),
            protocol: row.get_ref(1)?.as_str().unwrap_or_default(),
            sealed: row.get_ref(2)?.as_blob_or_null()?,
            generation: row.get(3)?,
        })
    }

    /// False for the tombstone of a revoked device.
    pub(crate) fn is_enrolled(&self) -> bool {
        self.sealed.is_some()
    }

    pub(crate) fn open(&self, sealer: &Sealer) -> Result<Device, BrokenCause> {
        let id: DeviceId = self.id.parse().map_err(|_| BrokenCause::Name)?;
        let protocol = self.protocol.parse()?;
        let generation =
            u32::try_from(self.generation).map_err(|_| BrokenCause::Generation(self.generation))?;
        let sealed = self.sealed.unwrap_or_default();
        let secret = sealer.open(&id, sealed).map_err(|_| BrokenCause::Seal)?;
        Ok(Device { id, protocol, secret, generation })
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
