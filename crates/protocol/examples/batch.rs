//! Encodes a batch of the secure link as a device does, prints its bytes, and decodes it as the server does.
//!
//!     cargo run -p vitalwire-protocol --example batch

use vitalwire_protocol::batch::{
    BatchError, Decimal, MESSAGE_LEN_MAX, Message, Samples, decode, encode_batch,
};

fn main() -> Result<(), BatchError> {
    // Five values of a pulse wave at 20 Hz, in thousandths of a volt.
    let values = &[1_802, 1_810, 1_820, 1_829, 1_840];
    let pulse = Samples { index: 2, interval_us: 50_000, delay_us: 0, scale: -3, values };
    let mut buffer = [0; MESSAGE_LEN_MAX];
    let len = encode_batch(7, 10_000, None, &[pulse], &mut buffer)?;
    let message = buffer.get(..len).unwrap_or_default();
    println!("{len} bytes: {}", message.iter().map(|byte| format!("{byte:02x}")).collect::<String>());

    // A stream ends anywhere: half a message is `None`, and is passed again with more behind it.
    assert!(decode(message.get(..len / 2).unwrap_or_default())?.is_none());
    if let Some((Message::Batch(batch), _)) = decode(message)? {
        for channel in batch.channels() {
            let texts = channel.values.clone().filter_map(|digits| Decimal::new(digits, channel.scale));
            let texts: Vec<_> = texts.map(|value| value.to_string()).collect();
            println!("batch {}, channel {}: {}", batch.sequence, channel.index, texts.join(" "));
        }
    }
    Ok(())
}
