//! `vitalwire-image ELF UF2`: makes the file that is dropped on the Pico's USB drive, and says how much memory the program
//! takes. It speaks to no device.

mod image;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [elf, uf2] = paths.as_slice() else { bail!("usage: vitalwire-image ELF UF2") };
    let file = fs::read(elf).with_context(|| format!("could not read {}", elf.display()))?;
    let image = image::Image::of(&file).with_context(|| format!("{} cannot be flashed", elf.display()))?;
    let blocks: Vec<u8> = vitalwire_uf2::blocks(vitalwire_uf2::FLASH_START, &image.bytes).flatten().collect();
    fs::write(uf2, blocks).with_context(|| format!("could not write {}", uf2.display()))?;
    println!(
        "flash: {} bytes of 524,288; RAM for statics: {} bytes of 204,800",
        image.flash_len, image.ram_len
    );
    Ok(())
}
