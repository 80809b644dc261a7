//! The audit log: records, and whether they can be believed.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use vitalwire_registry::{AuditHead, AuditQuery, AuditRecord, Registry};

use crate::api::Right;
use crate::api::admin as api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::{Routes, TIME_MS_MAX, Who, body, says};
use crate::time::to_ms;

pub(super) fn routes() -> Routes {
    let may = Who::May(Right::Audit);
    Routes::default()
        .get(
            "/api/v1/admin/audit",
            may,
            records,
            says("Records of the audit log, the newest first.")
                .asks::<api::AuditQuery>()
                .answers::<api::AuditPage>(),
        )
        .post(
            "/api/v1/admin/audit/verify",
            may,
            verify,
            says("Verifies that no record was changed, removed, added or moved.")
                .takes::<api::VerifyAudit>()
                .answers::<api::Verified>(),
        )
}

/// The most records at once.
const RECORDS_MAX: u64 = 500;

async fn records(
    State(app): State<Arc<App>>,
    person: Person,
    query: Result<Query<api::AuditQuery>, QueryRejection>,
) -> Result<Json<api::AuditPage>, Failure> {
    let Query(asked) = query.map_err(|error| Failure::Malformed(error.body_text()))?;
    if !(1..=RECORDS_MAX).contains(&asked.limit) {
        return Err(Failure::Malformed(format!("`limit` is from 1 to {RECORDS_MAX}")));
    }
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let query = AuditQuery {
        before: asked.before,
        kind: text(asked.kind),
        words: text(asked.words),
        from_us: asked.from.map(time).transpose()?,
        to_us: asked.to.map(time).transpose()?,
        limit: asked.limit,
    };
    let page = app.people.act_for(&person.user.name, move |registry| registry.audit_search(&query)).await?;
    Ok(Json(api::AuditPage { records: page.records.into_iter().map(shown).collect(), next: page.next }))
}

/// Verifies every record.
async fn verify(
    State(app): State<Arc<App>>,
    person: Person,
    request: Request,
) -> Result<Json<api::Verified>, Failure> {
    let api::VerifyAudit { head } = body(request).await?;
    let head = head.filter(|head| !head.trim().is_empty());
    let head = head.map(|head| head.trim().parse::<AuditHead>()).transpose();
    let head = head.map_err(|error| Failure::Malformed(error.to_string()))?;
    let verified = move |registry: &Registry| registry.verify_audit(head);
    let report = app.people.act_for(&person.user.name, verified).await?;
    Ok(Json(api::Verified {
        sound: report.fault.is_none(),
        records: report.records,
        head: report.head.to_string(),
        expected_at: report.expected_at,
        fault: report.fault.map(|fault| fault.to_string()),
    }))
}

/// Microseconds.
fn time(ms: i64) -> Result<i64, Failure> {
    if !(0..=TIME_MS_MAX).contains(&ms) {
        return Err(Failure::Malformed("times are milliseconds since 1970, up to the year 9999".to_owned()));
    }
    Ok(ms.saturating_mul(1_000))
}

fn shown(record: AuditRecord) -> api::AuditRecord {
    let AuditRecord { sequence, time, kind, subject, actor, detail } = record;
    api::AuditRecord { sequence, time: to_ms(time), kind, subject, actor, detail }
}
