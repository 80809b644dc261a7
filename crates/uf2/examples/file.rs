//! Writes a UF2 file that puts a text into a Pico's flash, 1 MiB from its start.
//!
//!     cargo run -p vitalwire-uf2 --example file -- FILE

use std::error::Error;

use vitalwire_uf2::{FLASH_START, blocks};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1).ok_or("usage: file FILE")?;
    let bytes: Vec<u8> = blocks(FLASH_START + 0x10_0000, b"Hello, flash.").flatten().collect();
    std::fs::write(&file, &bytes)?;
    println!("{}: {} bytes", file.display(), bytes.len());
    Ok(())
}
