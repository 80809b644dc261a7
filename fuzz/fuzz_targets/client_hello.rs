//! Whatever opens a connection, it is a ClientHello from some byte on, or none from some byte on, and what is waited for is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_protocol::{CLIENT_HELLO_LEN_MAX, has_client_hello};

fuzz_target!(|data: &[u8]| {
    let mut known = Ok(false);
    for len in 0..=data.len() {
        let found = has_client_hello(&data[..len]);
        assert!(known == Ok(false) || found == known, "{known:?} became {found:?} with byte {len}");
        assert!(found != Ok(false) || len < CLIENT_HELLO_LEN_MAX);
        known = found;
    }
});
