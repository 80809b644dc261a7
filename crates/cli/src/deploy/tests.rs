//! Facts about a deployment's files: complete after any interruption, unchanged by a second run, closed to others.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::deploy::layout::FILES;

struct Deployment {
    folder: tempfile::TempDir,
}

impl Deployment {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Another with the same files.
    fn copy(&self) -> Self {
        let other = Self::new();
        let from = self.folder.path().join(".");
        let copied = Command::new("cp").arg("-a").arg(from).arg(other.folder.path()).status().unwrap();
        assert!(copied.success());
        other
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// What `init --deploy` says.
    fn init(&self, renew: &[Renew]) -> anyhow::Result<String> {
        let ids = Ids::all(fs::metadata(self.folder.path()).unwrap().uid());
        let names = ["ward7.example".to_owned()];
        let order = Order { folder: self.folder.path(), names: &names, renew };
        let mut said = Vec::new();
        let mut out = Output::new(&mut said);
        run(&order, ids, &mut out)?;
        out.flush()?;
        drop(out);
        Ok(String::from_utf8(said).unwrap())
    }

    fn refusal(&self) -> String {
        format!("{:#}", self.init(&[]).unwrap_err())
    }

    /// Every file with what is in it, and its mode. SQLite's own beside the registry come and go.
    fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.to_string_lossy().ends_with("-shm")
                    && !path.to_string_lossy().ends_with("-wal")
                {
                    let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
                    found.insert(path.clone(), (fs::read(&path).unwrap(), mode));
                }
            }
        }
        found
    }
}

/// Passwords in what was said.
fn passwords(said: &str) -> Vec<&str> {
    let is_password = |word: &&str| word.len() == 23 && word.split('-').all(|group| group.len() == 5);
    said.split_whitespace().filter(is_password).collect()
}

#[test]
fn every_file_of_the_table_is_made_with_its_mode_and_a_second_run_changes_nothing() {
    let deployment = Deployment::new();
    let said = deployment.init(&[]).unwrap();
    assert_eq!(passwords(&said).len(), 4, "{said}");
    assert!(said.contains("mqtts://ward7.example:8883") && said.contains("device add"), "{said}");
    let files = deployment.files();
    for file in FILES {
        let (bytes, mode) = files.get(&deployment.path(file.path)).unwrap_or_else(|| panic!("{}", file.path));
        assert!(!bytes.is_empty(), "{}", file.path);
        assert!(*mode == file.mode || file.path == layout::MASTER_KEY, "{} {mode:o}", file.path);
    }
    for volume in layout::VOLUMES {
        assert_eq!(fs::metadata(deployment.path(volume.name)).unwrap().mode() & 0o7777, 0o700);
    }
    // No password of a person is stored but that of EMQX's dashboard, which its settings must name.
    let [people @ .., dashboard] = &passwords(&said)[..] else { panic!("{said}") };
    let is_that = |line: &str| line.contains("https://ward7.example:18083") && line.contains(dashboard);
    assert!(said.lines().any(is_that), "{said}");
    for password in people {
        for (path, (bytes, _)) in &files {
            assert!(!bytes.windows(password.len()).any(|window| window == password.as_bytes()), "{path:?}");
        }
    }
    let again = deployment.init(&[]).unwrap();
    assert!(again.contains("nothing was changed") && passwords(&again).is_empty(), "{again}");
    assert!(files == deployment.files());
}

#[test]
fn what_is_missing_is_made_again_with_what_follows_from_it_and_nothing_else() {
    let whole = Deployment::new();
    whole.init(&[]).unwrap();
    // Without these a password is shown again, or nothing is done; other tests are about them.
    let others = [layout::MASTER_KEY, layout::NODERED_USERS, layout::DASHBOARD_PASSWORD, layout::ACCOUNTS];
    for missing in FILES.iter().filter(|file| !others.contains(&file.path)) {
        let deployment = whole.copy();
        fs::remove_file(deployment.path(missing.path)).unwrap();
        // What an interrupted write leaves.
        fs::write(deployment.path(missing.path).with_extension("new"), "half").unwrap();
        let said = deployment.init(&[]).unwrap();
        assert!(said.contains("complete again"), "{said}");
        for file in FILES {
            let of = |deployment: &Deployment| fs::read(deployment.path(file.path)).unwrap();
            // What a pair or the authority made is in files of the same group.
            let may_differ = file.path == missing.path
                || missing.path.starts_with("authority/") && file.renew == missing.renew
                || missing.renew == Some(Renew::Mqtt)
                    && [layout::ACCOUNTS, layout::EMQX_USERS].contains(&file.path);
            assert!(
                of(&whole) == of(&deployment) || may_differ,
                "{} changed with {}",
                file.path,
                missing.path
            );
        }
    }
}

#[test]
fn a_run_that_ended_after_any_file_is_completed_by_the_next() {
    let whole = Deployment::new();
    whole.init(&[]).unwrap();
    let master_key = FILES.iter().position(|file| file.path == layout::MASTER_KEY).unwrap();
    // Every fourth: each run hashes passwords, which is slow on purpose.
    for made in (0..FILES.len()).step_by(4) {
        let deployment = whole.copy();
        for file in FILES.iter().skip(made) {
            fs::remove_file(deployment.path(file.path)).unwrap();
        }
        if made <= master_key {
            fs::remove_dir_all(deployment.path("data/vitalwire")).unwrap();
        }
        // Someone who did not see the passwords of the people sees them now.
        let said = deployment.init(&[]).unwrap();
        let lacks = |path| FILES.iter().skip(made).any(|file| file.path == path);
        let wanted = usize::from(made <= master_key || lacks(layout::ACCOUNTS))
            + 2 * usize::from(lacks(layout::NODERED_USERS))
            + usize::from(lacks(layout::DASHBOARD_PASSWORD));
        assert_eq!(passwords(&said).len(), wanted, "after {made}: {said}");
        assert!(FILES.iter().all(|file| deployment.path(file.path).exists()), "after {made}");
        assert!(deployment.init(&[]).unwrap().contains("nothing was changed"), "after {made}");
    }
}

#[test]
fn certificates_are_for_the_names_and_belong_together() {
    let deployment = Deployment::new();
    deployment.init(&[]).unwrap();
    for volume in ["secrets", "nodered"] {
        let of = |name: &str| fs::read_to_string(deployment.path(&format!("{volume}/{name}"))).unwrap();
        assert!(of("certificate.pem").starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(
            of("key.pem").starts_with("-----BEGIN PRIVATE KEY-----")
                && !of("key.pem").contains("CERTIFICATE")
        );
        assert!(of("ca.pem").contains("CERTIFICATE") && !of("ca.pem").contains("PRIVATE"));
    }
    let before = deployment.files();
    let said = deployment.init(&[Renew::Certificates]).unwrap();
    assert!(passwords(&said).is_empty(), "{said}");
    let after = deployment.files();
    for file in FILES {
        let path = deployment.path(file.path);
        assert_eq!(before[&path] != after[&path], file.renew == Some(Renew::Certificates), "{}", file.path);
    }
}

#[test]
fn what_is_renewed_is_new_and_nothing_else() {
    for (renew, follow) in [
        (Renew::Mqtt, &[layout::ACCOUNTS, layout::EMQX_USERS] as &[_]),
        (Renew::Pages, &[]),
        (Renew::Emqx, &[]),
    ] {
        let deployment = Deployment::new();
        deployment.init(&[]).unwrap();
        let before = deployment.files();
        deployment.init(&[renew]).unwrap();
        let after = deployment.files();
        for file in FILES {
            let path = deployment.path(file.path);
            let expected = file.renew == Some(renew) || follow.contains(&file.path);
            assert_eq!(before[&path] != after[&path], expected, "{renew:?}: {}", file.path);
        }
        assert!(passwords(&deployment.init(&[]).unwrap()).is_empty());
    }
}

/// The registry, under the key in its file.
fn registry(deployment: &Deployment) -> vitalwire_registry::Registry {
    let folder = deployment.path("data/vitalwire");
    vitalwire_registry::Registry::open_with_key_file(&folder, &deployment.path(layout::MASTER_KEY)).unwrap()
}

#[test]
fn a_renewed_master_key_opens_what_the_old_one_did_and_nothing_else_changes() {
    let deployment = Deployment::new();
    deployment.init(&[]).unwrap();
    let link = registry(&deployment).add_tls_device(&"bed_07".parse().unwrap()).unwrap();
    let before = deployment.files();
    let said = deployment.init(&[Renew::MasterKey]).unwrap();
    assert!(said.contains("1 devices are sealed under a new master key") && passwords(&said).is_empty());
    let after = deployment.files();
    for file in FILES {
        let path = deployment.path(file.path);
        assert_eq!(before[&path] != after[&path], file.path == layout::MASTER_KEY, "{}", file.path);
        assert_eq!(before[&path].1, after[&path].1, "the mode of {}", file.path);
    }
    let directory = registry(&deployment).directory().unwrap();
    assert!(directory.link(&link.id, std::time::SystemTime::now()).unwrap().psk == link.psk);
    assert!(directory.users.contains_key("admin"));
    assert!(deployment.init(&[]).unwrap().contains("nothing was changed"));
}

#[test]
fn a_rotation_of_the_master_key_that_was_cut_off_is_completed_by_the_next_run() {
    let deployment = Deployment::new();
    deployment.init(&[]).unwrap();
    let key = deployment.path(layout::MASTER_KEY);
    let old = fs::read(&key).unwrap();
    deployment.init(&[Renew::MasterKey]).unwrap();
    let new = fs::read(&key).unwrap();
    // Before and after the registry was sealed under the second of the two.
    for (begun, wanted) in [([&new[..], &old].concat(), &new), ([&old[..], &new].concat(), &new)] {
        fs::write(&key, begun).unwrap();
        assert_eq!(registry(&deployment).directory().unwrap().users.len(), 1, "a server starts meanwhile");
        assert!(deployment.init(&[]).unwrap().contains("complete again"));
        assert!(fs::read(&key).unwrap() == *wanted);
    }
}

#[test]
fn what_others_can_read_is_refused_and_named() {
    let deployment = Deployment::new();
    deployment.init(&[]).unwrap();
    for path in [layout::AUTHORITY, layout::MASTER_KEY, layout::SERVER_PASSWORD, layout::NODERED_USERS] {
        let open = |mode| fs::set_permissions(deployment.path(path), Permissions::from_mode(mode)).unwrap();
        open(0o644);
        let refusal = deployment.refusal();
        assert!(refusal.contains(path) && refusal.contains("0644") && refusal.contains("chmod"), "{refusal}");
        open(0o600);
        deployment.init(&[]).unwrap();
    }
}

#[test]
fn a_registry_without_its_master_key_is_left_alone() {
    let deployment = Deployment::new();
    deployment.init(&[]).unwrap();
    let key = deployment.path(layout::MASTER_KEY);
    fs::rename(&key, deployment.path("copy")).unwrap();
    let refusal = deployment.refusal();
    assert!(refusal.contains("master-key is missing") && refusal.contains("your copy"), "{refusal}");
    assert!(!key.exists());
}

#[test]
fn two_at_once_do_not_meet() {
    let deployment = Deployment::new();
    let other = fs::File::open(deployment.folder.path()).unwrap();
    other.lock().unwrap();
    assert!(deployment.refusal().contains("another"), "{}", deployment.refusal());
    drop(other);
    deployment.init(&[]).unwrap();
}
