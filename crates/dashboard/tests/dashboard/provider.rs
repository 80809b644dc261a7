//! Logging in with a provider of OpenID Connect.

use secrecy::SecretString;
use serde_json::{Value, json};
use vitalwire_dashboard::{ProviderConfig, SignOnConfig};
use vitalwire_testing::provider::{CLIENT, Provider, SECRET, Signs};

use crate::support::{Answer, Ward};

async fn open(provider: &Provider) -> Ward {
    let provider = ProviderConfig {
        issuer: provider.issuer().parse().unwrap(),
        client_id: CLIENT.to_owned(),
        client_secret: Some(SecretString::from(SECRET)),
        claim: "preferred_username".to_owned(),
        scopes: vec!["profile".to_owned()],
        ca: None,
    };
    let sign_on = SignOnConfig { provider, name: "Ward login".to_owned() };
    Ward::configured(|config| config.sign_on = Some(sign_on)).await
}

/// Begins; the cookie, and what the provider sends the browser back with.
async fn go(ward: &Ward, provider: &Provider) -> (String, Value) {
    let begun = ward.ask("POST", "/api/v1/session/provider", "", "").await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let set = begun.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=600"] {
        assert!(set.split("; ").any(|found| found == part), "{set}");
    }
    let back = provider.log_in(begun.json()["address"].as_str().unwrap()).await;
    (begun.cookie(), json!({"code": back["code"], "state": back["state"], "iss": back["iss"]}))
}

async fn come(ward: &Ward, cookie: &str, back: &Value) -> Answer {
    ward.ask("POST", "/api/v1/session", cookie, &back.to_string()).await
}

#[tokio::test]
async fn who_is_logged_in_there_is_logged_in_here_as_the_user_of_that_name() {
    let provider = Provider::start().await;
    let ward = open(&provider).await;
    assert_eq!(ward.get("/api/v1/session/ways", "").await.json(), json!({"provider": "Ward login"}));
    let (cookie, back) = go(&ward, &provider).await;
    let answer = come(&ward, &cookie, &back).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["user"], "ana");
    assert_eq!(answer.json()["role"], "admin");
    assert!(answer.head.contains("_attempt=; "), "the attempt is taken from the browser: {answer:?}");
    let session = answer.cookie();
    assert!(session.starts_with("vitalwire_session_"), "{session}");
    assert_eq!(ward.get("/api/v1/session", &session).await.json()["user"], "ana");
    let again = come(&ward, &cookie, &back).await;
    assert_eq!((again.status, again.header("set-cookie")), (401, None), "a code works once");
}

#[tokio::test]
async fn an_answer_to_another_browser_logs_no_one_in() {
    let provider = Provider::start().await;
    let ward = open(&provider).await;
    let (_, planted) = go(&ward, &provider).await;
    let (other, own) = go(&ward, &provider).await;
    let name = other.split('=').next().unwrap();
    for cookie in ["", &other, &format!("{name}=AAAA"), &format!("{other}; {name}=planted")] {
        let answer = come(&ward, cookie, &planted).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{cookie}");
    }
    assert_eq!(come(&ward, &other, &own).await.status, 200);
}

#[tokio::test]
async fn the_registry_says_who_may_come_in_and_what_they_may_do() {
    let provider = Provider::start().await;
    let ward = open(&provider).await;
    provider.change(|world| world.claims.insert("preferred_username".to_owned(), json!("scoped")));
    let (cookie, back) = go(&ward, &provider).await;
    let session = come(&ward, &cookie, &back).await;
    assert_eq!(session.json()["role"], "reader");
    assert_eq!(session.json()["can"], json!([]));
    for stranger in ["mallory", "ana@ward.example", "ANA", "' OR 1=1 --", "<script>alert(1)</script>"] {
        provider.change(|world| world.claims.insert("preferred_username".to_owned(), json!(stranger)));
        let (cookie, back) = go(&ward, &provider).await;
        let answer = come(&ward, &cookie, &back).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{stranger}");
        assert!(answer.json()["error"].as_str().unwrap().contains(stranger), "{answer:?}");
    }
}

#[tokio::test]
async fn a_provider_that_lies_or_is_away_lets_no_one_in_and_passwords_work() {
    let provider = Provider::start().await;
    let ward = open(&provider).await;
    provider.change(|world| world.signs = Signs::Wrong);
    let (cookie, back) = go(&ward, &provider).await;
    let answer = come(&ward, &cookie, &back).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
    assert!(!answer.json()["error"].as_str().unwrap().contains(&provider.issuer()), "{answer:?}");
    let ward = open(&provider).await;
    provider.change(|world| world.is_ill = true);
    assert_eq!(ward.ask("POST", "/api/v1/session/provider", "", "").await.status, 503);
    ward.log_in("ana").await;
}

#[tokio::test]
async fn without_a_provider_there_is_none() {
    let ward = Ward::open().await;
    assert_eq!(ward.get("/api/v1/session/ways", "").await.json(), json!({"provider": null}));
    assert_eq!(ward.ask("POST", "/api/v1/session/provider", "", "").await.status, 404);
    let back = json!({"code": "a", "state": "b"});
    assert_eq!(come(&ward, "", &back).await.status, 404);
}
