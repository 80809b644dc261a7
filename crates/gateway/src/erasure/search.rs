//! Looks into every file of the data folder for what names a device. Reads files as bytes, whatever they are; blocks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use vitalwire_access::DeviceId;
use vitalwire_registry::DATABASE_FILE;

use crate::topics::ROOT;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is looked for: the device's topics, and its name as JSON and lists of names have it. The bare name is not: it may
/// be a part of another's, and a short one stands in any file by chance.
pub(super) fn patterns(device: &DeviceId) -> [String; 3] {
    [format!("Pico/{device}/"), format!("{ROOT}/{device}/"), format!("\"{device}\"")]
}

/// Whether the file belongs to the registry, which keeps the device's name, the record of the erasure and the audit log.
fn is_registrys(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(DATABASE_FILE))
}

/// The files below the folder that hold one of the patterns, but the registry's. Links are not followed.
pub(super) fn files_that_hold(folder: &Path, patterns: &[String]) -> io::Result<Vec<PathBuf>> {
    let finders: Vec<_> = patterns.iter().map(|pattern| Finder::new(pattern.as_bytes())).collect();
    let overlap = patterns.iter().map(String::len).max().unwrap_or(1).saturating_sub(1);
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !is_registrys(&path) && holds(&path, &finders, overlap)? {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn holds(path: &Path, finders: &[Finder<'_>], overlap: usize) -> io::Result<bool> {
    let mut file = match File::open(path) {
        // Logs and scratch files come and go.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + overlap);
    loop {
        let kept = bytes.len();
        let read = Read::by_ref(&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
        if finders.iter().any(|finder| finder.find(&bytes).is_some()) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // The end of this piece and the start of the next may hold it together.
        bytes.drain(..(kept + read).saturating_sub(overlap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_pattern_wherever_pieces_end_and_in_any_file_but_the_registrys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("broker")).unwrap();
        let patterns = patterns(&"bed_07".parse().unwrap());
        for before in [0, 1, CHUNK_BYTES - 8, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES - 3] {
            let path = folder.path().join("broker").join("broker.db-wal");
            fs::write(&path, [&vec![b'x'; before][..], b"Pico/bed_07/Ip_address", &[b'y'; 99]].concat())
                .unwrap();
            assert_eq!(files_that_hold(folder.path(), &patterns).unwrap(), [path], "after {before} bytes");
        }
        fs::write(folder.path().join("broker").join("broker.db-wal"), "Pico/bed_071/Ip_address").unwrap();
        fs::write(folder.path().join("registry.db"), "\"bed_07\"").unwrap();
        fs::write(folder.path().join("registry.db-wal"), "\"bed_07\"").unwrap();
        assert!(files_that_hold(folder.path(), &patterns).unwrap().is_empty());
        let notes = folder.path().join("notes.json");
        fs::write(&notes, "{\"device\":\"bed_07\"}").unwrap();
        assert_eq!(files_that_hold(folder.path(), &patterns).unwrap(), [notes]);
    }
}
