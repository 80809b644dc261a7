//! Looks into every file of the data folder for what names a device. Reads files as bytes, whatever they are; blocks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use vitalwire_access::DeviceId;
use vitalwire_registry::{DATABASE_FILE, LinkId};

use crate::topics::ROOT;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is looked for.
pub(super) struct Traces {
    /// What nothing but the device's own has: its topics, its name as JSON and lists of names have it, its link ids in digits
    /// and in bytes.
    own: Vec<Vec<u8>>,
    /// The bare name. Where it stands it may be the device, or a part of another word: a short one stands in any file by
    /// chance, and readers choose names of their own for themselves.
    name: DeviceId,
    /// The names of other devices in which this one's stands. They are no trace of it.
    longer: Vec<String>,
}

/// The files that hold traces, each in the first list that fits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Something that is the device's own.
    pub(super) own: Vec<PathBuf>,
    /// Nothing but its bare name.
    pub(super) name: Vec<PathBuf>,
}

/// The topics and the quoted name: what the proof shows of what was looked for.
pub(super) fn texts(device: &DeviceId) -> [String; 3] {
    [format!("Pico/{device}/"), format!("{ROOT}/{device}/"), format!("\"{device}\"")]
}

impl Traces {
    pub(super) fn new<'a>(
        device: &DeviceId,
        links: &BTreeSet<LinkId>,
        others: impl Iterator<Item = &'a DeviceId>,
    ) -> Self {
        let texts = texts(device).map(String::into_bytes);
        let links = links.iter().flat_map(|link| [link.digits().to_vec(), link.bytes().to_vec()]);
        let longer = others.filter(|other| *other != device && other.as_str().contains(device.as_str()));
        Self {
            own: texts.into_iter().chain(links).collect(),
            name: device.clone(),
            longer: longer.map(DeviceId::to_string).collect(),
        }
    }

    /// The files below the folder that hold a trace, but the registry's. Links are not followed.
    pub(super) fn find(&self, folder: &Path) -> io::Result<Found> {
        let finders = Finders::new(self);
        let (mut folders, mut found) = (vec![folder.to_owned()], Found::default());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let (kind, path) = (entry.file_type()?, entry.path());
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() && !is_registrys(&path) {
                    match finders.look(&path)? {
                        Trace::Own => found.own.push(path),
                        Trace::Name => found.name.push(path),
                        Trace::None => {}
                    }
                }
            }
        }
        found.own.sort();
        found.name.sort();
        Ok(found)
    }
}

/// Whether the file belongs to the registry, which keeps the device's name, the record of the erasure and the audit log.
fn is_registrys(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(DATABASE_FILE))
}

/// What a file holds.
enum Trace {
    None,
    Name,
    Own,
}

struct Finders<'a> {
    own: Vec<Finder<'a>>,
    name: Finder<'a>,
    /// Each longer name, and where in it the name stands.
    longer: Vec<(&'a [u8], usize)>,
    /// The longest of them all.
    reach: usize,
}

impl<'a> Finders<'a> {
    fn new(traces: &'a Traces) -> Self {
        let name = traces.name.as_str();
        let places =
            |longer: &'a String| longer.match_indices(name).map(move |(at, _)| (longer.as_bytes(), at));
        let longer: Vec<_> = traces.longer.iter().flat_map(places).collect();
        let lengths = traces.own.iter().map(Vec::len).chain(longer.iter().map(|(longer, _)| longer.len()));
        Self {
            own: traces.own.iter().map(Finder::new).collect(),
            name: Finder::new(name),
            reach: lengths.max().unwrap_or(0),
            longer,
        }
    }

    fn look(&self, path: &Path) -> io::Result<Trace> {
        let mut file = match File::open(path) {
            // Logs and scratch files come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Trace::None),
            opened => opened?,
        };
        let mut bytes = Vec::with_capacity(CHUNK_BYTES + 2 * self.reach);
        // Names that begin before it were looked at.
        let (mut begin, mut found) = (0, Trace::None);
        loop {
            let read = Read::by_ref(&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
            if self.own.iter().any(|finder| finder.find(&bytes).is_some()) {
                return Ok(Trace::Own);
            }
            // What stands at the end may go on in the next piece.
            let end = if read == 0 { bytes.len() } else { bytes.len().saturating_sub(self.reach).max(begin) };
            let mut hits = self.name.find_iter(&bytes).filter(|at| (begin..end).contains(at));
            if hits.any(|at| !self.is_anothers(&bytes, at)) {
                found = Trace::Name;
            }
            if read == 0 {
                return Ok(found);
            }
            let done = end.saturating_sub(self.reach);
            bytes.drain(..done);
            begin = end - done;
        }
    }

    /// Whether the name that stands here is a part of a longer one.
    fn is_anothers(&self, bytes: &[u8], at: usize) -> bool {
        self.longer.iter().any(|(longer, before)| {
            at.checked_sub(*before)
                .and_then(|from| bytes.get(from..))
                .is_some_and(|rest| rest.starts_with(longer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(links: &[LinkId]) -> Traces {
        let others: [DeviceId; 3] = ["bed_07", "bed_071", "x_bed_07_bed_07"].map(|id| id.parse().unwrap());
        Traces::new(&others[0], &links.iter().copied().collect(), others.iter())
    }

    fn own(path: &Path) -> Found {
        Found { own: vec![path.to_owned()], name: Vec::new() }
    }

    fn name(path: &Path) -> Found {
        Found { own: Vec::new(), name: vec![path.to_owned()] }
    }

    /// Where a piece ends, and around it.
    const PLACES: [usize; 8] = [
        0,
        1,
        CHUNK_BYTES - 32,
        CHUNK_BYTES - 8,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 9,
        2 * CHUNK_BYTES - 3,
    ];

    #[test]
    fn finds_a_trace_wherever_pieces_end_and_in_any_file_but_the_registrys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("broker")).unwrap();
        let path = folder.path().join("broker").join("broker.db-wal");
        let link: LinkId = "00112233445566778899aabbccddeeff".parse().unwrap();
        let traces = traces(&[link]);
        let put = |before: usize, text: &[u8]| {
            fs::write(&path, [&vec![b'x'; before][..], text, &[b'y'; 99]].concat()).unwrap();
        };
        for before in PLACES {
            for text in [b"Pico/bed_07/Ip_address".as_slice(), &link.digits(), link.bytes()] {
                put(before, text);
                assert_eq!(traces.find(folder.path()).unwrap(), own(&path), "after {before} bytes");
            }
            for text in ["bed_07", "bed_07 bed_071", "x_bed_07_bed_0", "xbed_07y"] {
                put(before, text.as_bytes());
                assert_eq!(traces.find(folder.path()).unwrap(), name(&path), "{text} after {before} bytes");
            }
            for text in ["Pico/bed_071/Ip_address", "x_bed_07_bed_07", "bed_08"] {
                put(before, text.as_bytes());
                assert_eq!(
                    traces.find(folder.path()).unwrap(),
                    Found::default(),
                    "{text} after {before} bytes"
                );
            }
        }
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("registry.db"), "\"bed_07\"").unwrap();
        fs::write(folder.path().join("registry.db-wal"), "\"bed_07\"").unwrap();
        assert_eq!(traces.find(folder.path()).unwrap(), Found::default());
        let notes = folder.path().join("notes.json");
        fs::write(&notes, "{\"device\":\"bed_07\"}").unwrap();
        assert_eq!(traces.find(folder.path()).unwrap(), own(&notes));
    }
}
