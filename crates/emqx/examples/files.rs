//! Prints EMQX's files of a small ward, with secrets that everyone knows.
//!
//!     cargo run -p vitalwire-emqx --example files

use std::error::Error;

use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::{Role as PersonRole, Scope};
use vitalwire_emqx::{ApiKey, Role, Settings, User, Verifier, acl, api_keys, bootstrap, config};

fn main() -> Result<(), Box<dyn Error>> {
    // A program draws salts and secrets at random.
    let user = |name: &str, role| -> Result<User, Box<dyn Error>> {
        let verifier = Verifier::new(&SecretString::from("a password"), [7; 16]);
        Ok(User { name: name.parse()?, role, verifier })
    };
    let beds = Scope::Named(["bed_07".parse()?].into());
    let users = [
        user("vitalwire", Role::Gateway)?,
        user("family", Role::Person(PersonRole::Reader { devices: beds }))?,
    ];
    let key = ApiKey::new("vitalwire", SecretString::from("a-secret"))?;
    let settings =
        Settings::new("emqx@172.20.0.20", "/opt/emqx/vitalwire", "a-cookie".into(), "a password".into());
    println!("== emqx.conf\n{}", config(&settings)?.expose_secret());
    println!("== acl.conf\n{}", acl(&users));
    println!("== users.csv\n{}", bootstrap(&users)?);
    println!("== api-keys\n{}", api_keys(&key).expose_secret());
    Ok(())
}
