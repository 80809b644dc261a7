//! Measures a pulse for three seconds of a clock that is only a number, and keeps its batches until "the server" has
//! acknowledged them. Nothing here allocates, so that it runs on a microcontroller as well.
//!
//!     cargo run -p vitalwire-device --example outbox

use std::error::Error;

use vitalwire_device::batcher::{Batcher, ChannelSetup};
use vitalwire_device::outbox::{NoFlash, Outbox};

const BOOT: u64 = 0x0123_4567_89ab_cdef;
const MESSAGE_LEN_MAX: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let pulse = ChannelSetup { index: 2, interval_us: 50_000, scale: -3 };
    let mut batcher = Batcher::new([0; 64], MESSAGE_LEN_MAX, &[pulse], 1_000, 0)?;
    let mut outbox = Outbox::mount(BOOT, [0; 1_024], NoFlash);
    let mut message = [0; MESSAGE_LEN_MAX];
    for value in 0..60 {
        if batcher.is_complete() {
            keep(&mut batcher, &mut outbox, &mut message)?;
        }
        batcher.record(1_650 + value);
    }
    keep(&mut batcher, &mut outbox, &mut message)?;

    println!("held: {} batches", outbox.held());
    while let Some((sequence, len)) = outbox.take_next(&mut message)? {
        println!("sent: batch {sequence}, {len} bytes");
    }
    outbox.acknowledge(2);
    println!("held after an acknowledgement of 2: {}", outbox.held());
    Ok(())
}

/// Makes a batch of what was measured and puts it into the outbox.
fn keep(
    batcher: &mut Batcher<[i32; 64]>,
    outbox: &mut Outbox<[u8; 1_024], NoFlash>,
    message: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    if let Some(made) = batcher.make(outbox.next_sequence(), message)? {
        outbox.push(made.newest_ms(), message.get(..made.len).unwrap_or_default())?;
    }
    Ok(())
}
