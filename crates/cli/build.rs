//! How the program that is released is linked (deploy/build).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=VITALWIRE_PACK_RELOCATIONS");
    // The addresses that a position-independent program corrects at its start, in a form that takes a hundredth: 1.2 MB of 22. It
    // wants glibc 2.36, which the linker of a development build need not have.
    if std::env::var_os("VITALWIRE_PACK_RELOCATIONS").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
