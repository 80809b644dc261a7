//! Logins with a provider that answers over real sockets, and lies in every way that it can.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use vitalwire_oidc::{Answer, Attempt, OidcError, Provider, ProviderConfig};
use vitalwire_testing::provider::{CLIENT, Provider as Real, SECRET, Signs, Twist, pairs};

const HOME: &str = "https://ward.example/";

fn config(real: &Real) -> ProviderConfig {
    ProviderConfig {
        issuer: real.issuer().parse().unwrap(),
        client_id: CLIENT.to_owned(),
        client_secret: Some(SecretString::from(SECRET)),
        claim: "preferred_username".to_owned(),
        scopes: vec!["profile".to_owned()],
        ca: None,
    }
}

fn provider(real: &Real) -> Provider {
    Provider::new(config(real)).unwrap()
}

fn answer(pairs: &BTreeMap<String, String>) -> Answer<'_> {
    Answer { code: &pairs["code"], state: &pairs["state"], issuer: pairs.get("iss").map(String::as_str) }
}

/// The whole way of one login.
async fn log_in(provider: &Provider, real: &Real) -> Result<String, OidcError> {
    let attempt = Attempt::new([7; 32]);
    let address = provider.address(HOME, &attempt).await?;
    let back = real.log_in(&address).await;
    provider.who(HOME, &attempt, answer(&back)).await
}

#[tokio::test]
async fn who_logs_in_there_is_who_the_claim_says() {
    let real = Real::start().await;
    let provider = provider(&real);
    let attempt = Attempt::new([7; 32]);
    let address = provider.address(HOME, &attempt).await.unwrap();
    let asked = pairs(address.split_once('?').unwrap().1);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["scope"], "openid profile");
    assert_eq!(asked["redirect_uri"], HOME);
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(!address.contains(attempt.to_text().as_str()), "the browser alone has it");
    let back = real.log_in(&address).await;
    assert_eq!(provider.who(HOME, &attempt, answer(&back)).await.unwrap(), "ana");
    let again = provider.who(HOME, &attempt, answer(&back)).await.unwrap_err();
    assert!(matches!(again, OidcError::Refused(..)), "a code works once: {again}");
    assert!(again.to_string().contains("invalid_grant"), "{again}");
    assert_eq!(real.asked("/keys"), 1, "what it says of itself is kept");
}

#[tokio::test]
async fn the_claim_may_be_any_text_and_stand_where_people_are_described() {
    let real = Real::start().await;
    let with =
        |claim: &str| Provider::new(ProviderConfig { claim: claim.to_owned(), ..config(&real) }).unwrap();
    assert_eq!(log_in(&with("sub"), &real).await.unwrap(), "0815");
    real.change(|world| world.described.insert("ward_name".to_owned(), json!("bo")));
    assert_eq!(log_in(&with("ward_name"), &real).await.unwrap(), "bo");
    for wrong in [json!(7), json!(["ana"]), json!(""), json!(null), json!("a".repeat(257))] {
        real.change(|world| world.described.insert("ward_name".to_owned(), wrong.clone()));
        let error = log_in(&with("ward_name"), &real).await.unwrap_err();
        assert!(matches!(error, OidcError::NoClaim { .. }), "{wrong}: {error}");
    }
    real.change(|world| world.described.insert("sub".to_owned(), json!("4711")));
    let other = log_in(&with("ward_name"), &real).await.unwrap_err();
    assert!(matches!(other, OidcError::Unproven(..)), "the description of another person: {other}");
}

#[tokio::test]
async fn a_secret_goes_as_the_provider_wants_it_or_there_is_none() {
    let real = Real::start().await;
    real.change(|world| {
        world.says.insert("token_endpoint_auth_methods_supported".to_owned(), json!(["client_secret_post"]))
    });
    assert_eq!(log_in(&provider(&real), &real).await.unwrap(), "ana");
    let public = Provider::new(ProviderConfig { client_secret: None, ..config(&real) }).unwrap();
    assert_eq!(log_in(&public, &real).await.unwrap(), "ana");
    let wrong = ProviderConfig { client_secret: Some(SecretString::from("wrong")), ..config(&real) };
    let error = log_in(&Provider::new(wrong).unwrap(), &real).await.unwrap_err();
    assert!(error.to_string().contains("invalid_client"), "{error}");
}

#[tokio::test]
async fn an_answer_counts_for_the_attempt_that_asked_alone() {
    let real = Real::start().await;
    let provider = provider(&real);
    let (mine, others) = (Attempt::new([7; 32]), Attempt::new([8; 32]));
    let address = provider.address(HOME, &others).await.unwrap();
    let planted = real.log_in(&address).await;
    let error = provider.who(HOME, &mine, answer(&planted)).await.unwrap_err();
    assert!(matches!(error, OidcError::Foreign), "{error}");
    // With the right state, but a code that was given to another attempt: PKCE.
    let state = pairs(&provider.address(HOME, &mine).await.unwrap())["state"].clone();
    let stolen = Answer { code: &planted["code"], state: &state, issuer: None };
    let error = provider.who(HOME, &mine, stolen).await.unwrap_err();
    assert!(matches!(error, OidcError::Refused(..)), "{error}");
    let address = provider.address(HOME, &mine).await.unwrap();
    let back = real.log_in(&address).await;
    let mixed_up = Answer { issuer: Some("https://other.example"), ..answer(&back) };
    let error = provider.who(HOME, &mine, mixed_up).await.unwrap_err();
    assert!(matches!(error, OidcError::Foreign), "{error}");
    let elsewhere = provider.who("https://other.example/", &mine, answer(&back)).await.unwrap_err();
    assert!(matches!(elsewhere, OidcError::Refused(..)), "{elsewhere}");
}

fn set(claims: &mut Value, name: &str, value: Value) {
    claims.as_object_mut().unwrap().insert(name.to_owned(), value);
}

#[tokio::test]
async fn a_token_that_proves_nothing_logs_no_one_in() {
    let real = Real::start().await;
    let provider = provider(&real);
    assert_eq!(log_in(&provider, &real).await.unwrap(), "ana");
    let lies: [(&str, Twist); 9] = [
        ("another nonce", |_, claims| set(claims, "nonce", json!("planted"))),
        ("no nonce", |_, claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("for another client", |_, claims| set(claims, "aud", json!("other"))),
        ("for others, too", |_, claims| set(claims, "aud", json!([CLIENT, "other"]))),
        ("for no one", |_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("of another provider", |_, claims| set(claims, "iss", json!("https://other.example"))),
        ("expired", |_, claims| set(claims, "exp", json!(1_600_000_000))),
        ("without an end", |_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("encrypted", |header, _| set(header, "alg", json!("RSA-OAEP"))),
    ];
    for (lie, twist) in lies {
        real.change(|world| world.twist = Some(twist));
        let error = log_in(&provider, &real).await.expect_err(lie);
        assert!(matches!(error, OidcError::Unproven(..)), "{lie}: {error}");
    }
    real.change(|world| world.twist = None);
    for signs in [Signs::Wrong, Signs::Not, Signs::WithSecret] {
        real.change(|world| world.signs = signs);
        let error = log_in(&provider, &real).await.expect_err(&format!("{signs:?}"));
        assert!(matches!(error, OidcError::Unproven(..)), "{signs:?}: {error}");
    }
    real.change(|world| world.signs = Signs::Right);
    assert_eq!(log_in(&provider, &real).await.unwrap(), "ana");
}

#[tokio::test]
async fn an_access_token_of_another_login_describes_no_one() {
    let real = Real::start().await;
    real.change(|world| {
        world.claims.clear();
        world.described.insert("preferred_username".to_owned(), json!("bo"));
        world.claims.insert("at_hash".to_owned(), json!("AAAAAAAAAAAAAAAAAAAAAA"));
    });
    let error = log_in(&provider(&real), &real).await.unwrap_err();
    assert!(matches!(error, OidcError::Unproven(..)), "{error}");
    // The left half of the hash of `access-token`.
    real.change(|world| world.claims.insert("at_hash".to_owned(), json!(AT_HASH)));
    assert_eq!(log_in(&provider(&real), &real).await.unwrap(), "bo");
}

const AT_HASH: &str = "Pxa-1wifRlPl7yG_0oJNfw";

#[tokio::test]
async fn a_key_that_is_new_is_asked_for_but_not_again_and_again() {
    let real = Real::start().await;
    let provider = provider(&real);
    assert_eq!(log_in(&provider, &real).await.unwrap(), "ana");
    real.change_key();
    // What was asked a moment ago is believed for a minute.
    assert!(matches!(log_in(&provider, &real).await, Err(OidcError::Unproven(..))));
    assert_eq!(real.asked("/keys"), 1);
    let provider = provider.asking_again_after(Duration::ZERO);
    assert_eq!(log_in(&provider, &real).await.unwrap(), "ana");
    assert_eq!(real.asked("/keys"), 2);
}

#[tokio::test]
async fn a_provider_that_is_ill_or_away_is_said_to_be() {
    let real = Real::start().await;
    real.change(|world| world.is_ill = true);
    let provider = provider(&real);
    let attempt = Attempt::new([7; 32]);
    let error = provider.address(HOME, &attempt).await.unwrap_err();
    assert!(error.to_string().contains("500"), "{error}");
    real.change(|world| world.is_ill = false);
    assert!(provider.address(HOME, &attempt).await.is_ok(), "it is asked again");
    let away = ProviderConfig { issuer: "http://127.0.0.1:1/".parse().unwrap(), ..config(&real) };
    let error = Provider::new(away).unwrap().address(HOME, &attempt).await.unwrap_err();
    assert!(matches!(error, OidcError::Unreachable(..)), "{error}");
}

#[tokio::test]
async fn what_it_says_of_itself_sends_no_one_where_it_is_plain_or_a_script() {
    for (endpoint, address) in [
        ("authorization_endpoint", "javascript://ward.example/%0aalert(1)"),
        ("authorization_endpoint", "http://ward.example/authorize"),
        ("token_endpoint", "http://ward.example/token"),
        ("jwks_uri", "http://ward.example/keys"),
        ("issuer", "https://other.example"),
    ] {
        let real = Real::start().await;
        real.change(|world| world.says.insert(endpoint.to_owned(), json!(address)));
        let error = log_in(&provider(&real), &real).await.unwrap_err();
        assert!(matches!(error, OidcError::Unreachable(..)), "{endpoint} {address}: {error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let real = Real::start().await;
    real.change(|world| world.says.insert("op_policy_uri".to_owned(), json!("a".repeat(300 << 10))));
    let error = provider(&real).address(HOME, &Attempt::new([7; 32])).await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}
