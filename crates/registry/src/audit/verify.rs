//! Verifying the audit log from its first record to its last. It changes nothing, and keeps one record at a time in memory.

use rusqlite::{Connection, Row, Transaction, TransactionBehavior};

use super::{AuditHead, CHAIN_LEN, CHAIN_START, TAIL_COLUMNS, Tail, chain};
use crate::error::Result;
use crate::schema;
use crate::seal::{ChainKey, SealBroken, Sealer};

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// How many records, from the first on, are as they were written.
    pub records: u64,
    /// The chain value of the last of these. Noted elsewhere, it shows later that nothing up to here was taken away.
    pub head: AuditHead,
    /// The record that the expected head belongs to, if one was expected and it is among these.
    pub expected_at: Option<u64>,
    /// The first thing that is wrong; `None` when all is as it was written.
    pub fault: Option<AuditFault>,
}

/// What is wrong with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AuditFault {
    #[error("record {sequence} is missing: the next one is {next}")]
    Missing {
        /// The first that is missing.
        sequence: u64,
        next: i64,
    },
    #[error(
        "record {sequence} is not what was written: it was changed, moved here, or added by someone without the \
         master key"
    )]
    Changed { sequence: i64 },
    #[error("the log ends with record {found}, and it should end with record {expected}")]
    End { found: u64, expected: i64 },
    #[error(
        "what the registry says about the log's end was changed by hand: records at the end may have been taken away"
    )]
    Unsealed,
    #[error(
        "no record has the expected head {expected}: the records since it was noted, or all, were replaced by an \
         earlier copy of the file, or it is the head of another registry"
    )]
    HeadUnknown { expected: AuditHead },
}

/// Verifies every record, and that none is missing. With a head noted earlier, also that the log goes on from there.
pub(crate) fn verify(
    connection: &Connection,
    sealer: &Sealer,
    expected: Option<AuditHead>,
) -> Result<AuditReport> {
    // One read transaction: records and end belong together, also while others write.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    schema::check_key(&transaction, sealer)?;
    let tail = transaction
        .query_row(&format!("SELECT {TAIL_COLUMNS} FROM registry"), [], |row| Tail::read(row, 0, sealer))?;
    let keys = Keys::read(&transaction, sealer)?;
    let mut walk = Walk { keys, expected, head: CHAIN_START, last: 0, expected_at: None };
    let fault = walk.through(&transaction)?.or_else(|| walk.end_fault(&tail));
    let (records, head, expected_at) = (walk.last, AuditHead(walk.head), walk.expected_at);
    Ok(AuditReport { records: u64::try_from(records).unwrap_or(0), head, expected_at, fault })
}

/// What the log was chained under: the keys before the present one, with the last record of each, in their order.
struct Keys {
    former: Vec<(i64, Result<ChainKey, SealBroken>)>,
    present: ChainKey,
}

impl Keys {
    fn read(connection: &Connection, sealer: &Sealer) -> Result<Self> {
        let mut statement = connection.prepare("SELECT until, sealed FROM audit_keys ORDER BY until")?;
        let former = statement.query_map([], |row| {
            let until = row.get(0)?;
            Ok((until, sealer.open_chain_key(until, row.get_ref(1)?.as_blob()?)))
        })?;
        let former = former.collect::<rusqlite::Result<_>>()?;
        Ok(Self { former, present: sealer.audit_chain_key() })
    }

    /// The key of a record; `None` where someone changed it.
    fn of(&self, sequence: i64) -> Option<&ChainKey> {
        match self.former.iter().find(|(until, _)| sequence <= *until) {
            None => Some(&self.present),
            Some((_, key)) => key.as_ref().ok(),
        }
    }
}

struct Walk {
    keys: Keys,
    expected: Option<AuditHead>,
    head: [u8; CHAIN_LEN],
    last: i64,
    expected_at: Option<u64>,
}

impl Walk {
    fn through(&mut self, connection: &Connection) -> Result<Option<AuditFault>> {
        let mut statement = connection.prepare(
            "SELECT sequence, time_us, kind, subject, actor, detail, chain FROM audit ORDER BY sequence",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(fault) = self.step(row)? {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }

    fn step(&mut self, row: &Row<'_>) -> Result<Option<AuditFault>> {
        let sequence: i64 = row.get(0)?;
        let due = self.last + 1;
        if sequence > due {
            let missing = u64::try_from(due).unwrap_or(0);
            return Ok(Some(AuditFault::Missing { sequence: missing, next: sequence }));
        }
        let mut texts = [[].as_slice(); 4];
        for (column, text) in texts.iter_mut().enumerate() {
            *text = row.get_ref(column + 2)?.as_bytes().map_err(rusqlite::Error::from)?;
        }
        let Some(key) = self.keys.of(sequence) else { return Ok(Some(AuditFault::Changed { sequence })) };
        let right = chain(key, &self.head, sequence, row.get(1)?, texts);
        let stored = row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?;
        if sequence != due || stored != right {
            return Ok(Some(AuditFault::Changed { sequence }));
        }
        (self.last, self.head) = (sequence, right);
        if self.expected == Some(AuditHead(right)) {
            self.expected_at = u64::try_from(sequence).ok();
        }
        Ok(None)
    }

    fn end_fault(&self, tail: &Tail) -> Option<AuditFault> {
        if !tail.sound {
            return Some(AuditFault::Unsealed);
        }
        if tail.records != self.last || tail.head != self.head {
            let found = u64::try_from(self.last).unwrap_or(0);
            return Some(AuditFault::End { found, expected: tail.records });
        }
        let expected = self.expected.filter(|_| self.expected_at.is_none())?;
        Some(AuditFault::HeadUnknown { expected })
    }
}
