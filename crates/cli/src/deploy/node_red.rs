//! Who may log in to Node-RED's pages: the file that deploy/nodered/lib/users.js reads. Only hashes are in it.

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use scrypt::{Params, scrypt};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Those of users.js: 32 MiB a password.
const COST_LOG2: u8 = 15;
const BLOCK: u32 = 8;
const PARALLEL: u32 = 3;
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// A line of the file.
///
/// # Errors
/// When scrypt refuses its parameters.
pub(super) fn line(name: &str, role: &str, password: &SecretString) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let form = form(password, &rand::random())?;
    Ok(Zeroizing::new(format!("{name}:{role}:{form}\n").into_bytes()))
}

fn form(password: &SecretString, salt: &[u8; SALT_LEN]) -> anyhow::Result<String> {
    let parameters = Params::new(COST_LOG2, BLOCK, PARALLEL).context("scrypt")?;
    let mut hash = Zeroizing::new([0; HASH_LEN]);
    scrypt(password.expose_secret().as_bytes(), salt, &parameters, hash.as_mut_slice()).context("scrypt")?;
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let cost = 1_u32 << COST_LOG2;
    Ok(format!("scrypt${cost}${BLOCK}${PARALLEL}${}${}", text(salt), text(hash.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_users_js() {
        // By deploy/nodered/lib/users.js: hashPassword('the nurse knows this', Buffer.from('00010203…0f', 'hex')).
        let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let wanted = "scrypt$32768$8$3$AAECAwQFBgcICQoLDA0ODw$-V-J06G84JWFBHb91DWmtZGp4tNQFEtgHnqCFme25HY";
        assert_eq!(form(&SecretString::from("the nurse knows this"), &salt).unwrap(), wanted);
    }
}
