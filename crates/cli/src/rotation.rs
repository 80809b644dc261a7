//! What a rotation of the master key tells a person. It shows no key.

use vitalwire_registry::MasterKeyRotation;

/// What was done, and what is to be done.
pub(crate) fn said(rotated: &MasterKeyRotation, file: &str) -> String {
    match rotated {
        MasterKeyRotation::Completed => format!(
            "A rotation that was cut off is complete: {file} holds its key alone. For a further one run this again."
        ),
        MasterKeyRotation::Rotated { devices, broken } => {
            let mut said = format!("{devices} devices are sealed under a new master key, in {file}.");
            if !broken.is_empty() {
                said.push_str(&format!(
                    "\n{} could not be opened before, and cannot now: {}. Revoke them.",
                    broken.len(),
                    broken.join(", ").replace(char::is_control, "\u{fffd}")
                ));
            }
            said.push_str(
                "\nKeep a copy of it apart from the data folder. Backups from before want the old one.",
            );
            said
        }
    }
}
