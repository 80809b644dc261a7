//! Identification: more bytes never change what was found, and what was found decodes to a sample.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_fuzz::{Input, decode, encode, secret};
use vitalwire_protocol::{Sample, Variant, detect, first_block, first_block_fits, identify_variant};

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::from_bytes(data) else { return };
    let wire = if input.texts { input.encrypt().1 } else { input.payload.to_vec() };
    let mut seen = 0;
    let mut before = Ok(None);
    for piece in input.pieces(&wire) {
        seen += piece.len();
        let now = identify_variant(&secret(), &wire[..seen]);
        assert!(before == Ok(None) || before == now, "{before:?} became {now:?} at {seen} bytes");
        before = now;
    }
    let found = identify_variant(&secret(), &wire);
    assert_eq!(found, before);
    let block = first_block(&wire);
    if let Some(first) = wire.first() {
        let _ = detect(*first);
    }
    if let Ok(Some(variant)) = found {
        found_decodes(variant, &wire, block.expect("a frame begins with a block").expect("and a whole one"));
    } else if input.texts {
        // Nothing but the text itself stands between a frame of the right secret and its identification.
        let (texts, _) = decode(input.variant, &[&wire]);
        assert!(texts.first().is_none_or(|text| Sample::parse(text).is_err()));
    }
});

fn found_decodes(variant: Variant, wire: &[u8], block: [u8; 16]) {
    let (texts, _) = decode(variant, &[wire]);
    let text = texts.first().expect("the variant found decodes the first frame");
    assert!(Sample::parse(text).is_ok());
    assert_eq!(first_block_fits(&secret(), &block), text.starts_with(b"{\""));
    assert!(wire.starts_with(&encode(variant, text).expect("a decoded text encodes")));
}
