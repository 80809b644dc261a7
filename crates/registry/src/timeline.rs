//! To which stay a reading of a device belongs. The borders between stays divide all readings, so that none belongs to two.

use rusqlite::Connection;
use vitalwire_access::DeviceId;

use crate::error::Result;
use crate::stay::StayId;
use crate::stay_store::read_id;

/// Where a part of a stay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Border {
    /// The stay that begins, or goes on, here.
    pub stay: StayId,
    /// From when on: UTC, microseconds since 1970.
    pub time_us: i64,
    /// What the journal had got up to this position was measured before, whatever time it says: the clock was ahead then.
    pub position: u64,
}

/// The stays of a device, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Where each part begins.
    pub borders: Vec<Border>,
    /// Someone said once who wears the device. If no one ever did, there is nothing to keep apart.
    pub has_patients: bool,
}

impl Timeline {
    pub(crate) fn read(connection: &Connection, device: &DeviceId) -> Result<Self> {
        let sql = "SELECT stay, border_us, border_position, patient IS NOT NULL
                   FROM stay_parts JOIN stays ON stays.id = stay WHERE device = ?1 ORDER BY number";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([device.as_str()])?;
        let mut timeline = Self::default();
        while let Some(row) = rows.next()? {
            timeline.borders.push(Border {
                stay: read_id(row, 0)?,
                time_us: row.get(1)?,
                position: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
            });
            timeline.has_patients |= row.get::<_, bool>(3)?;
        }
        Ok(timeline)
    }

    /// The stay to which a value belongs that was measured at this time, and stands in the journal at this position. None: what the name
    /// sent before it is known who had it.
    ///
    /// What came late belongs to when it was measured. What the journal had before a stay began is not of that stay, though a
    /// clock that was ahead then says so; and what comes after the clock was set back is not of the stay that had this time
    /// first.
    #[must_use]
    pub fn stay_at(&self, time_us: i64, position: u64) -> Option<StayId> {
        let time_us = time_us.max(0);
        let fits = |border: &&Border| border.time_us <= time_us && border.position < position;
        self.borders.iter().rev().find(fits).map(|border| border.stay)
    }
}
