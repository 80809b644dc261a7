//! Looking for records of the audit log, the newest first. It changes nothing, and a look costs a bounded time.

use rusqlite::named_params;

use crate::audit::AuditRecord;
use crate::audit_log::read_record;
use crate::error::Result;
use crate::store::Registry;

/// How many records one look passes at most, whether they are wanted or not.
pub const AUDIT_LOOK_MAX: u64 = 50_000;

/// Which records are wanted. What is `None` is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those before this sequence number.
    pub before: Option<u64>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those that have these words in subject, actor or detail, whatever the case of ASCII letters is.
    pub words: Option<String>,
    /// From this time on: UTC microseconds since 1970.
    pub from_us: Option<i64>,
    /// Up to, but without, this time.
    pub to_us: Option<i64>,
    /// At most so many.
    pub limit: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The records, the newest first.
    pub records: Vec<AuditRecord>,
    /// Older ones were not looked at: [`AuditQuery::before`] of the next look. `None` at the log's beginning.
    pub next: Option<u64>,
}

impl Registry {
    /// Looks for records.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit_search(&self, query: &AuditQuery) -> Result<AuditPage> {
        let end = self.audit_records()?.saturating_add(1);
        let before = query.before.unwrap_or(end).min(end);
        let from = before.saturating_sub(AUDIT_LOOK_MAX);
        let mut statement = self.connection.prepare_cached(
            "SELECT sequence, time_us, kind, subject, actor, detail FROM audit
             WHERE sequence < :before AND sequence >= :from
               AND (:kind IS NULL OR kind = :kind)
               AND (:from_us IS NULL OR time_us >= :from_us) AND (:to_us IS NULL OR time_us < :to_us)
               AND (:words IS NULL OR instr(lower(subject || ' ' || actor || ' ' || detail), lower(:words)) > 0)
             ORDER BY sequence DESC LIMIT :limit",
        )?;
        let rows = statement.query_map(
            named_params! {
                ":before": signed(before), ":from": signed(from), ":kind": query.kind, ":words": query.words,
                ":from_us": query.from_us, ":to_us": query.to_us, ":limit": signed(query.limit),
            },
            read_record,
        )?;
        let records = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let is_full = u64::try_from(records.len()).is_ok_and(|found| found >= query.limit);
        let seen = match records.last() {
            Some(last) if is_full => last.sequence,
            _ => from,
        };
        Ok(AuditPage { records, next: (seen > 1).then_some(seen) })
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
