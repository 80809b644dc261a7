//! Who changes the registry, for the audit log: the operating system's user that this process runs as. It asks no one to
//! say who he is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

/// How much of the user table is read.
const PASSWD_LEN_MAX: u64 = 1 << 20;
/// The longest user name that is shown, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Root and service users can be believed about who asked them: no person logs in as one. Anybody else sets the variable as he likes.
const SYSTEM_UID_MAX: u32 = 999;

/// The user of this process, as `ana (uid 1000)`; as `root (uid 0) for ana` when `sudo` says who asked root or a
/// service user for it.
pub(crate) fn of_this_process() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = File::open("/etc/passwd").ok().and_then(|table| name_of(uid, table.take(PASSWD_LEN_MAX)));
    let asked = std::env::var("SUDO_USER").ok().filter(|_| uid <= SYSTEM_UID_MAX);
    describe(uid, name.as_deref(), asked.as_deref())
}

/// A user of this system, as `ana (uid 1000)`.
#[must_use]
pub fn user_of(uid: u32) -> String {
    let name = File::open("/etc/passwd").ok().and_then(|table| name_of(uid, table.take(PASSWD_LEN_MAX)));
    describe(uid, name.as_deref(), None)
}

fn describe(uid: u32, name: Option<&str>, asked: Option<&str>) -> String {
    let user = match name {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    };
    match asked.filter(|asked| is_plain(asked)) {
        Some(asked) => format!("{user} for {asked}"),
        None => user,
    }
}

fn name_of(uid: u32, table: impl Read) -> Option<String> {
    let uid = uid.to_string();
    let mut lines = BufReader::new(table).lines().map_while(Result::ok);
    let line = lines.find(|line| line.split(':').nth(2) == Some(&uid))?;
    let name = line.split(':').next()?;
    is_plain(name).then(|| name.to_owned())
}

fn is_plain(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.len() <= NAME_LEN_MAX && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_user_and_who_asked_by_sudo() {
        let table = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\nbad\x1bname:x:7:7\n";
        assert_eq!(name_of(1000, table.as_bytes()).as_deref(), Some("ana"));
        assert_eq!(name_of(7, table.as_bytes()), None);
        assert_eq!(name_of(1, table.as_bytes()), None);
        assert_eq!(describe(1000, Some("ana"), None), "ana (uid 1000)");
        assert_eq!(describe(0, Some("root"), Some("ana")), "root (uid 0) for ana");
        assert_eq!(describe(65532, None, Some("a\nb")), "uid 65532");
    }
}
