//! Steps through synchronisations with answers as EMQX's API document has them.

use secrecy::ExposeSecret;
use vitalwire_access::{Role as PersonRole, Scope};

use super::*;
use crate::user::{Role, Verifier};

fn reader(name: &str, devices: &[&str]) -> User {
    let verifier = Verifier::from_digits(&"1".repeat(32), &"2".repeat(64)).unwrap();
    let devices = Scope::Named(devices.iter().map(|id| id.parse().unwrap()).collect());
    User { name: name.parse().unwrap(), role: Role::Person(PersonRole::Reader { devices }), verifier }
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

const USERS: &str = "/api/v5/authentication/password_based%3Abuilt_in_database/users";
const IMPORT: &str = "/api/v5/authentication/password_based%3Abuilt_in_database/import_users?type=hash";
const RIGHTS: &str = "/api/v5/authorization/sources/file";

fn users(names: &[&str], has_next: bool) -> String {
    let data: Vec<_> =
        names.iter().map(|name| serde_json::json!({"user_id": name, "is_superuser": false})).collect();
    serde_json::json!({"data": data, "meta": {"page": 1, "limit": 1000, "hasnext": has_next}}).to_string()
}

fn clients(ids: &[&str]) -> String {
    let data: Vec<_> = ids.iter().map(|id| serde_json::json!({"clientid": id, "username": "u"})).collect();
    serde_json::json!({"data": data, "meta": {"page": 1, "limit": 1000, "count": 1, "hasnext": false}})
        .to_string()
}

fn rights(users: &[User]) -> String {
    serde_json::json!({"type": "file", "enable": true, "rules": acl(users)}).to_string()
}

fn imported(what: &str) -> String {
    let mut answer = serde_json::json!({"total": 1, "success": 0, "override": 0, "skipped": 0, "failed": 0});
    answer[what] = 1.into();
    answer.to_string()
}

/// Checks what is asked, and answers.
fn step(sync: &mut Sync, method: Method, path: &str, status: u16, answer: &str) {
    let request = sync.request().unwrap();
    assert_eq!((request.method, request.path.as_str()), (method, path));
    sync.answer(status, answer.as_bytes()).unwrap();
}

fn changes(sync: &Sync) -> Vec<(String, Change)> {
    let text = |outcome: &Outcome| outcome.user.as_ref().map_or("rights".into(), ToString::to_string);
    sync.outcomes().iter().map(|outcome| (text(outcome), outcome.change)).collect()
}

/// Accounts of which `a` and `b` are ours, `new` is to come, and `gone` is to go.
fn accounts() -> Accounts {
    let mut accounts =
        Accounts::of([reader("a", &["x"]), reader("b", &["x"]), reader("gone", &["x"])]).unwrap();
    accounts.remove(&name("gone")).unwrap();
    accounts.add(reader("new", &["x"])).unwrap();
    accounts
}

#[test]
fn adds_changes_and_removes_ours_and_touches_no_one_else() {
    let mut sync = Sync::new(accounts(), false, false);
    step(&mut sync, Method::Get, &format!("{USERS}?page=1&limit=1000"), 200, &users(&["a", "by-hand"], true));
    step(&mut sync, Method::Get, &format!("{USERS}?page=2&limit=1000"), 200, &users(&["b", "gone"], false));
    let before = [reader("a", &["x"]), reader("b", &["x", "y"]), reader("gone", &["x"])];
    step(&mut sync, Method::Get, RIGHTS, 200, &rights(&before));
    assert!(sync.accounts().iter().all(|account| account.is_ours), "claimed before they are made");
    let request = sync.request().unwrap();
    let body: serde_json::Value = serde_json::from_str(request.body.unwrap().expose_secret()).unwrap();
    assert_eq!(body["rules"], acl(&accounts().users()));
    step(&mut sync, Method::Put, RIGHTS, 204, "");
    step(&mut sync, Method::Delete, &format!("{USERS}/gone"), 204, "");
    assert!(sync.accounts().removed().is_empty());
    let request = sync.request().unwrap();
    assert_eq!(
        request.body.unwrap().expose_secret(),
        format!(
            r#"[{{"is_superuser":false,"password_hash":"{}","salt":"{}","user_id":"a"}}]"#,
            "2".repeat(64),
            "1".repeat(32)
        )
    );
    step(&mut sync, Method::Post, IMPORT, 200, &imported("override"));
    step(&mut sync, Method::Post, IMPORT, 200, &imported("skipped"));
    step(&mut sync, Method::Post, IMPORT, 200, &imported("success"));
    let of = |user: &str| format!("/api/v5/clients?username={user}&page=1&limit=1000");
    step(&mut sync, Method::Get, &of("b"), 200, &clients(&[]));
    step(&mut sync, Method::Get, &of("gone"), 200, &clients(&["gone.1", "gone.2"]));
    assert_eq!(sync.request().unwrap().body.unwrap().expose_secret(), r#"["gone.1","gone.2"]"#);
    step(&mut sync, Method::Post, "/api/v5/clients/kickout/bulk", 204, "");
    step(&mut sync, Method::Get, &of("a"), 200, &clients(&["a.1"]));
    step(&mut sync, Method::Post, "/api/v5/clients/kickout/bulk", 204, "");
    assert!(sync.request().is_none());
    let wanted = [
        ("rights", Change::Changed),
        ("gone", Change::Removed),
        ("a", Change::Changed),
        ("b", Change::Unchanged),
        ("new", Change::Added),
        ("gone", Change::Closed(2)),
        ("a", Change::Closed(1)),
    ];
    assert_eq!(changes(&sync), wanted.map(|(who, change)| (who.to_owned(), change)));
}

#[test]
fn a_second_run_changes_nothing() {
    let accounts = Accounts::of([reader("a", &["x"])]).unwrap();
    let mut sync = Sync::new(accounts.clone(), false, false);
    step(&mut sync, Method::Get, &format!("{USERS}?page=1&limit=1000"), 200, &users(&["a"], false));
    step(&mut sync, Method::Get, RIGHTS, 200, &rights(&accounts.users()));
    step(&mut sync, Method::Post, IMPORT, 200, &imported("skipped"));
    assert!(sync.request().is_none());
    let wanted = [("rights".to_owned(), Change::Unchanged), ("a".to_owned(), Change::Unchanged)];
    assert_eq!((changes(&sync), sync.accounts()), (wanted.to_vec(), &accounts));
}

#[test]
fn a_dry_run_only_looks() {
    let mut sync = Sync::new(accounts(), true, false);
    step(
        &mut sync,
        Method::Get,
        &format!("{USERS}?page=1&limit=1000"),
        200,
        &users(&["a", "b", "gone"], false),
    );
    step(&mut sync, Method::Get, RIGHTS, 200, &rights(&[]));
    assert!(sync.request().is_none());
    assert_eq!(sync.accounts(), &accounts());
    let wanted = [
        ("rights", Change::ToChange),
        ("gone", Change::ToRemove),
        ("a", Change::ToCompare),
        ("b", Change::ToCompare),
        ("new", Change::ToAdd),
    ];
    assert_eq!(changes(&sync), wanted.map(|(who, change)| (who.to_owned(), change)));
}

#[test]
fn a_user_made_by_hand_is_left_alone_unless_it_may_be_taken_over() {
    let listed = |sync: &mut Sync| {
        step(sync, Method::Get, &format!("{USERS}?page=1&limit=1000"), 200, &users(&["new"], false));
        sync.answer(200, rights(&[]).as_bytes())
    };
    for is_dry in [false, true] {
        let mut sync = Sync::new(accounts(), is_dry, false);
        let error = listed(&mut sync).unwrap_err();
        assert_eq!(error, SyncError::Strangers(vec![name("new")]));
        assert!(error.to_string().contains("--take-over"), "{error}");
        assert_eq!(sync.accounts(), &accounts());
    }
    let mut sync = Sync::new(accounts(), false, true);
    listed(&mut sync).unwrap();
    assert!(sync.accounts().iter().all(|account| account.is_ours));
}

#[test]
fn a_user_that_is_gone_already_is_no_failure() {
    let mut sync = Sync::new(accounts(), false, false);
    step(&mut sync, Method::Get, &format!("{USERS}?page=1&limit=1000"), 200, &users(&["gone"], false));
    step(&mut sync, Method::Get, RIGHTS, 200, &rights(&accounts().users()));
    let missing = r#"{"code":"NOT_FOUND","message":"User not found"}"#;
    step(&mut sync, Method::Delete, &format!("{USERS}/gone"), 404, missing);
    assert!(sync.accounts().removed().is_empty());
    assert_eq!(changes(&sync), [("rights".to_owned(), Change::Unchanged)]);
}

#[test]
fn refusals_say_what_to_do() {
    let told = |status, body: &str| {
        let error = Sync::new(accounts(), false, false).answer(status, body.as_bytes()).unwrap_err();
        error.to_string()
    };
    let code = |code: &str, message: &str| serde_json::json!({"code": code, "message": message}).to_string();
    assert!(
        told(401, &code("BAD_API_KEY_OR_SECRET", "Check api_key/api_secret"))
            .contains("api_key.bootstrap_file")
    );
    assert!(told(403, &code("UNAUTHORIZED_ROLE", "")).contains("role administrator"));
    assert!(
        told(404, &code("NOT_FOUND", "Authenticator does not exist")).contains("address of its dashboard")
    );
    assert!(told(404, "<html>").contains("no EMQX"));
    let refused = told(400, &code("INVALID_PARAMETER", "page_limit\ninvalid"));
    assert!(refused.contains("400") && refused.contains("INVALID_PARAMETER, page_limitinvalid"), "{refused}");
    assert!(told(200, "{}").contains("200") && told(200, "").contains("200"));
    assert!(told(500, &"x".repeat(10_000)).len() < 400);
    assert!(told(200, &users(&[], false).replace("false", "0")).contains("EMQX answers 200"));
}

#[test]
fn an_answer_cut_at_any_byte_is_refused() {
    let whole = users(&["a"], false);
    for len in 0..whole.len() {
        let mut sync = Sync::new(accounts(), false, false);
        assert!(sync.answer(200, &whole.as_bytes()[..len]).is_err(), "{len}");
    }
}

#[test]
fn pages_without_end_end() {
    let mut sync = Sync::new(accounts(), false, false);
    let page = users(&[], true);
    let error =
        std::iter::from_fn(|| Some(sync.answer(200, page.as_bytes()))).take(2_000).find_map(Result::err);
    assert!(matches!(error, Some(SyncError::Refused { .. })), "{error:?}");
}
