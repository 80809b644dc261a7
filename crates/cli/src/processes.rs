//! Which process listens on a port and which holds a lock, as `/proc` tells (proc(5)). What belongs to other users stays
//! unknown to who is not root. Changes nothing.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The name of its program.
    pub(crate) name: String,
}

/// Who listens so that the address cannot be had, if that can be known.
pub(crate) fn listener(address: SocketAddr) -> Option<Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let sockets = tables.iter().filter_map(|path| fs::read_to_string(path).ok());
    let inodes: Vec<u64> = sockets.flat_map(|table| listening_inodes(&table, address)).collect();
    processes().find(|process| holds_socket(process.pid, &inodes))
}

/// Who holds the lock on a file, if that can be known.
pub(crate) fn lock_holder(file: &Path) -> Option<Process> {
    let metadata = fs::metadata(file).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locked_by(&locks, metadata.ino())?;
    processes().find(|process| process.pid == pid)
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned();
        Some(Process { pid, name })
    })
}

fn holds_socket(pid: u32, inodes: &[u64]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
        let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| inodes.contains(&inode))
    })
}

/// State of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

fn listening_inodes(table: &str, wanted: SocketAddr) -> Vec<u64> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let local = address(local)?;
        (*state == LISTENING && is_in_the_way(local, wanted)).then(|| inode.parse().ok()).flatten()
    });
    rows.collect()
}

fn is_in_the_way(there: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, other) = (there.ip().to_canonical(), wanted.ip().to_canonical());
    there.port() == wanted.port() && (one == other || one.is_unspecified() || other.is_unspecified())
}

/// An address of `/proc/net/tcp`: hexadecimal words in the byte order of the machine, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|place| u32::from_str_radix(ip.get(place * 8..place * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let ip = match *words.as_slice() {
        [word] => IpAddr::from(Ipv4Addr::from(word)),
        [_, _, _, _] => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        _ => return None,
    };
    Some((ip, port).into())
}

/// The process id of `/proc/locks` that holds a lock on this inode.
fn locked_by(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 1234 08:01:567 0 EOF`; who waits has `->` behind the number.
        let words: Vec<&str> = line.split_whitespace().collect();
        let (kind, pid, file) = (words.get(1)?, words.get(4)?, words.get(5)?);
        let found: u64 = file.rsplit(':').next()?.parse().ok()?;
        (*kind != "->" && found == inode).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ourselves() -> u32 {
        std::process::id()
    }

    #[test]
    fn a_port_of_our_own_is_found_whatever_address_it_is_wanted_for() {
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener_socket) = TcpListener::bind(bound) else { continue };
            let address = listener_socket.local_addr().unwrap();
            assert_eq!(listener(address).map(|process| process.pid), Some(ourselves()), "{bound}");
            drop(listener_socket);
            assert_eq!(listener(address), None, "{bound}");
        }
    }

    #[test]
    fn another_address_of_the_port_is_not_in_the_way() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(!is_in_the_way(address("127.0.0.1:80"), address("127.0.0.2:80")));
        assert!(is_in_the_way(address("127.0.0.1:80"), address("0.0.0.0:80")));
        assert!(is_in_the_way(address("[::ffff:127.0.0.1]:80"), address("127.0.0.1:80")));
        assert!(!is_in_the_way(address("0.0.0.0:81"), address("0.0.0.0:80")));
    }

    #[test]
    fn a_lock_of_our_own_is_found_until_it_is_given_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(lock_holder(file.path()), None);
        file.as_file().lock().unwrap();
        assert_eq!(lock_holder(file.path()).map(|process| process.pid), Some(ourselves()));
        file.as_file().unlock().unwrap();
        assert_eq!(lock_holder(file.path()), None);
    }

    #[test]
    fn who_waits_for_a_lock_does_not_hold_it() {
        let locks =
            "1: -> FLOCK  ADVISORY  WRITE 7 08:01:99 0 EOF\n2: FLOCK  ADVISORY  WRITE 8 08:01:99 0 EOF\n";
        assert_eq!(locked_by(locks, 99), Some(8));
        assert_eq!(locked_by(locks, 9), None);
    }
}
