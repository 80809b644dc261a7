//! Where a provider of OpenID Connect lets people log in: `cargo run -p vitalwire-oidc --example address -- https://accounts.google.com`

use vitalwire_oidc::{Attempt, Provider, ProviderConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = std::env::args().nth(1).ok_or("name a provider, as https://HOST")?;
    let provider = Provider::new(ProviderConfig {
        issuer: issuer.parse()?,
        client_id: "vitalwire".to_owned(),
        client_secret: None,
        claim: "preferred_username".to_owned(),
        scopes: vec!["profile".to_owned()],
        ca: None,
    })?;
    // A server draws these bytes anew for each login.
    println!("{}", provider.address("https://ward.example/", &Attempt::new([7; 32])).await?);
    Ok(())
}
