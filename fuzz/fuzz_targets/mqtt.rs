//! What MQTT clients send, before and after CONNECT: no bytes panic, packets end where they end, and what is answered is whole packets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vitalwire_broker::fuzzing::mqtt(data));
