//! Enrols a device in a registry of its own, rotates its key, and shows what the audit log says of it.
//!
//!     cargo run -p vitalwire-registry --example enrol

use std::error::Error;

use vitalwire_registry::{MasterKey, ROTATION_OVERLAP, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // Never in the data folder: a copy of the folder alone opens no key.
    let key = MasterKey::create(&folder.path().join("master-key"))?;
    let registry = Registry::create(&folder.path().join("data"), &key)?;

    let bed = "bed_07".parse()?;
    let link = registry.add_tls_device(&bed)?;
    println!("bed_07 connects as {}; its key is never printed", link.id);
    registry.rotate_device(&bed, ROTATION_OVERLAP)?;

    for record in registry.audit(0, 10)? {
        println!("{:>2}  {} {}", record.sequence, record.kind, record.subject);
    }
    println!("the log is as it was written: {}", registry.verify_audit(None)?.fault.is_none());
    Ok(())
}
