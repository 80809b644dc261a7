//! The files of which EMQX makes its first users and its API keys.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::text::{Problem, Unwritable, api_key, csv};
use crate::user::User;

/// The text of [`USERS_FILE`](crate::USERS_FILE), for `bootstrap_type = hash`. No one is a superuser, whom EMQX asks for no rights.
///
/// # Errors
/// When a field cannot be written, which names and digits always can.
pub fn bootstrap(users: &[User]) -> Result<String, Unwritable> {
    let mut text = "user_id,password_hash,salt,is_superuser\n".to_owned();
    for user in users {
        let name = csv("a user's name", user.name.as_str())?;
        let (hash, salt) = (csv("a hash", &user.verifier.hash)?, csv("a salt", &user.verifier.salt)?);
        text.push_str(&format!("{name},{hash},{salt},false\n"));
    }
    Ok(text)
}

/// A key of EMQX's REST API, and its secret.
#[derive(Clone)]
pub struct ApiKey {
    key: String,
    secret: SecretString,
}

impl ApiKey {
    /// From its two parts.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn new(key: &str, secret: SecretString) -> Result<Self, Unwritable> {
        let key = api_key("the API key", key)?;
        api_key("the API key's secret", secret.expose_secret())?;
        Ok(Self { key, secret })
    }

    /// Reads the first key of a file such as [`api_keys`] makes: `KEY:SECRET`, perhaps with `:ROLE` behind it.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(text: &str) -> Result<Self, Unwritable> {
        let form = Unwritable { what: "the file of the API key", problem: Problem::Form("KEY:SECRET") };
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).ok_or_else(|| form.clone())?;
        match line.split(':').collect::<Vec<_>>().as_slice() {
            [key, secret] | [key, secret, _] => Self::new(key, SecretString::from(*secret)),
            _ => Err(form),
        }
    }

    /// What is sent to log in, before it is encoded (RFC 7617).
    #[must_use]
    pub fn credentials(&self) -> SecretString {
        format!("{}:{}", self.key, self.secret.expose_secret()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKey").field(&self.key).finish()
    }
}

/// The text of [`API_KEYS_FILE`](crate::API_KEYS_FILE). EMQX's open-source edition knows one role, the administrator's.
#[must_use]
pub fn api_keys(key: &ApiKey) -> SecretString {
    format!("{}\n", key.credentials().expose_secret()).into()
}

#[cfg(test)]
mod tests {
    use vitalwire_access::Role as PersonRole;

    use super::*;
    use crate::user::{Role, Verifier};

    #[test]
    fn a_user_is_one_line_of_four_fields() {
        let verifier = Verifier::from_digits(&"1".repeat(32), &"2".repeat(64)).unwrap();
        let user = User { name: "nurse-7".parse().unwrap(), role: Role::Person(PersonRole::Admin), verifier };
        let (hash, salt) = ("2".repeat(64), "1".repeat(32));
        let wanted = format!("user_id,password_hash,salt,is_superuser\nnurse-7,{hash},{salt},false\n");
        assert_eq!(bootstrap(&[user]).unwrap(), wanted);
    }

    #[test]
    fn an_api_key_is_read_back_and_never_printed() {
        let key = ApiKey::new("vitalwire", SecretString::from("geheim")).unwrap();
        assert_eq!(api_keys(&key).expose_secret(), "vitalwire:geheim\n");
        for text in ["vitalwire:geheim\n", "\n vitalwire:geheim:administrator \nother:key\n"] {
            let read = ApiKey::parse(text).unwrap();
            assert_eq!(read.credentials().expose_secret(), "vitalwire:geheim");
            assert!(!format!("{read:?}").contains("geheim"));
        }
        for text in ["", "\n\n", "vitalwire", "vitalwire:", ":geheim", "a:b:c:d", "a b:c", "a:b c"] {
            assert!(ApiKey::parse(text).is_err(), "{text:?}");
        }
        assert!(ApiKey::new("a:b", SecretString::from("c")).is_err());
    }
}
