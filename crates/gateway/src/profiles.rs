//! The profiles that devices may name: those built in, and the data folder's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vitalwire_profile::{DERIVED, PROFILE_TEXT_LEN_MAX, Profile, ProfileError};

use crate::data_folder::PROFILES;
use crate::history::quantity;

/// The profile of the paper's device, whose AES-CBC frames name none.
pub(crate) const PICO: &str = "pico";

/// Why the profiles could not be read. A server with half its profiles would refuse half its devices, so it does
/// not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProfilesError {
    #[error("cannot read {path}: {cause}", path = .path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{path} is no profile: {cause}", path = .path.display())]
    Invalid { path: PathBuf, cause: ProfileError },
    #[error("{path}: there is another profile of the name `{name}`; rename one of them", path = .path.display())]
    Twice {
        /// The file read last.
        path: PathBuf,
        name: String,
    },
}

/// All profiles, by name.
#[derive(Clone, Debug)]
pub(crate) struct Profiles(Arc<BTreeMap<String, Arc<Profile>>>);

impl Profiles {
    /// Reads the built-in profiles and every `*.toml` of the data folder's `profiles`, which may be absent.
    pub(crate) fn load(data: &Path) -> Result<Self, ProfilesError> {
        let mut profiles: BTreeMap<_, _> = Profile::builtin_names()
            .filter_map(Profile::builtin)
            .map(|profile| (profile.name().to_owned(), Arc::new(profile)))
            .collect();
        for path in files(&data.join(PROFILES))? {
            let text = read(&path).map_err(|cause| ProfilesError::File { path: path.clone(), cause })?;
            let profile = Profile::parse(&text)
                .map_err(|cause| ProfilesError::Invalid { path: path.clone(), cause })?;
            let name = profile.name().to_owned();
            if profiles.insert(name.clone(), Arc::new(profile)).is_some() {
                return Err(ProfilesError::Twice { path, name });
            }
        }
        Ok(Self(Arc::new(profiles)))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Profile>> {
        self.0.get(name).cloned()
    }

    /// The names of all channels of all profiles.
    pub(crate) fn channels(&self) -> BTreeSet<String> {
        self.0.values().flat_map(|profile| profile.channels()).map(|channel| channel.name.clone()).collect()
    }

    /// The names of those by which alarms are decided.
    pub(crate) fn watched_channels(&self) -> BTreeSet<String> {
        let devices = self.0.values().filter(|profile| profile.name() != DERIVED);
        let watched =
            devices.flat_map(|profile| profile.channels()).filter(|channel| quantity(channel).is_some());
        watched.map(|channel| channel.name.clone()).collect()
    }

    /// The profile of devices that send the paper's frames.
    pub(crate) fn pico(&self) -> Arc<Profile> {
        self.find(PICO).expect("it is built in")
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, ProfilesError> {
    let failed = |cause| ProfilesError::File { path: folder.to_owned(), cause };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads no more than a profile may be long, and one byte that shows that it is longer.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(PROFILE_TEXT_LEN_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: &str = include_str!("../../profile/profiles/spo2-clip.toml");

    #[test]
    fn reads_the_folder_beside_what_is_built_in() {
        let data = tempfile::tempdir().unwrap();
        assert!(Profiles::load(data.path()).unwrap().find("spo2-clip").is_none());
        fs::create_dir(data.path().join(PROFILES)).unwrap();
        fs::write(data.path().join(PROFILES).join("clip.toml"), CLIP).unwrap();
        fs::write(data.path().join(PROFILES).join("notes.txt"), "not read").unwrap();
        let profiles = Profiles::load(data.path()).unwrap();
        assert_eq!(profiles.find("spo2-clip").unwrap().channels().len(), 3);
        assert_eq!(profiles.pico().channels().len(), 7);
    }

    #[test]
    fn a_bad_or_doubled_profile_is_named() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join(PROFILES);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.toml"), "name = 1").unwrap();
        let error = Profiles::load(data.path()).unwrap_err().to_string();
        assert!(error.contains("a.toml is no profile"), "{error}");
        fs::write(folder.join("a.toml"), CLIP).unwrap();
        fs::write(folder.join("b.toml"), CLIP).unwrap();
        let error = Profiles::load(data.path()).unwrap_err().to_string();
        assert!(error.contains("b.toml") && error.contains("spo2-clip"), "{error}");
    }
}
