//! Tells the linker of the RP2040's memory.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("Cargo sets OUT_DIR"))?);
    fs::write(out.join("memory.x"), include_bytes!("memory.x"))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
    // link.x comes with cortex-m-rt, link-rp.x with embassy-rp: the boot loader's second stage.
    for argument in ["-Tlink.x", "-Tlink-rp.x", "--nmagic"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    Ok(())
}
