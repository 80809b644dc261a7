//! EMQX's accounts, API keys and answers: no text and no answer panics; accounts that are accepted are written and read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_emqx::{Accounts, ApiKey, Sync};

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ApiKey::parse(text);
        if let Ok(accounts) = Accounts::parse(text) {
            assert_eq!(Accounts::parse(&accounts.text()).unwrap(), accounts);
        }
    }
    let mut sync = Sync::new(Accounts::default(), false, false);
    // Each line is an answer, with its status in its first byte.
    for answer in data.split(|byte| *byte == b'\n') {
        let Some((status, body)) = answer.split_first() else { continue };
        if sync.request().is_none() || sync.answer(100 + 2 * u16::from(*status), body).is_err() {
            return;
        }
    }
});
