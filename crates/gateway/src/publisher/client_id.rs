//! The name under which this server logs in to an external broker. A broker lets each name in once, so it is drawn at random;
//! and it is kept, so that the broker knows the server again after a restart.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::data_folder::BROKER_CLIENT_ID;

const PREFIX: &str = "vitalwire-";
/// With the prefix 22 characters: MQTT 3.1.1 §3.1.3.1 has every broker take 23.
const DIGITS: usize = 12;

/// Reads the data folder's name, or makes one. When it cannot be kept it serves this run.
pub(super) fn load_or_create(data: &Path) -> String {
    let path = data.join(BROKER_CLIENT_ID);
    match fs::read_to_string(&path) {
        Ok(text) if is_client_id(text.trim_end()) => return text.trim_end().to_owned(),
        Ok(_) => tracing::warn!(path = %path.display(), "no client id of ours: a new one takes its place"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "the client id cannot be read"),
    }
    let digits = rand::random::<u64>() & ((1 << (4 * DIGITS)) - 1);
    let id = format!("{PREFIX}{digits:0DIGITS$x}");
    if let Err(error) = write(&path, &id) {
        let path = path.display();
        tracing::warn!(%path, %error, "the client id for the external broker is not kept: the next start has another");
    }
    id
}

fn is_client_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix(PREFIX).is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit))
}

/// Under another name first, so that no half of it is ever read.
fn write(path: &Path, id: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_data_folder_keeps_its_name_and_two_have_two() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let id = load_or_create(one.path());
        assert!(is_client_id(&id) && id.len() <= 23, "{id}");
        assert_eq!(load_or_create(one.path()), id);
        assert_ne!(load_or_create(other.path()), id);
        let mode = fs::metadata(one.path().join(BROKER_CLIENT_ID)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_replaced_and_a_folder_that_takes_none_stops_no_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(BROKER_CLIENT_ID), "vitalwire-").unwrap();
        let id = load_or_create(folder.path());
        assert_eq!(load_or_create(folder.path()), id);
        assert!(is_client_id(&load_or_create(&folder.path().join("missing"))));
    }
}
