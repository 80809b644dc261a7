//! Damaged captures: whatever is in them, the verifier ends with a report or an error.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vitalwire_capture::Needles;

use crate::craft::{Talk, pcap, pcapng, secure_link, try_verify};

#[test]
fn random_damage_is_survived() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut packets = secure_link().packets;
    let other = ([192, 0, 2, 3], 40_001);
    packets.extend(Talk::between(other, 5).up(b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n\x82\x85\0\0\0\0\x30\x03\0\x01a").packets);
    packets.extend(
        Talk::between(([192, 0, 2, 4], 40_001), 5).up(b"\x10\x0c\0\x04MQTT\x04\xc2\0\x3c\0\0").packets,
    );
    let files = [pcap(1, &packets), pcapng(false, &packets), pcapng(true, &packets)];
    let mut reports = 0;
    for _ in 0..2_000 {
        let mut file = files[random.random_range(0..files.len())].clone();
        for _ in 0..random.random_range(1..6) {
            let place = random.random_range(0..file.len());
            match random.random_range(0..3) {
                0 => file[place] = random.next_u32().to_le_bytes()[0],
                1 => drop(file.drain(place..(place + random.random_range(1..40)).min(file.len()))),
                _ => file.insert(place, 0xff),
            }
        }
        match try_verify(Needles::general(), &file) {
            Ok(report) => {
                reports += 1;
                assert!(serde_json::to_string(&report).unwrap().len() > 100);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(reports > 100, "the damage is too great to reach anything but the file's format");
}
