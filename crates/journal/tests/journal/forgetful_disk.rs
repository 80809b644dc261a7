//! A file system (FUSE) that knows what was synced and what was not, and at a power cut keeps only the first and a random
//! part of the second, sector by sector. It stands below SQLite, which is not told. Only root can mount it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
const KNOWN_FOR: Duration = Duration::ZERO;

/// Names and contents: what a power cut leaves.
pub(crate) type Content = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                content.resize(content.len().max(at + data.len()), 0);
                content[*at..at + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }
}

#[derive(Debug, Default)]
struct StoredFile {
    /// As the program sees it.
    now: Vec<u8>,
    /// As of the last sync.
    synced: Vec<u8>,
    /// What came since.
    since: Vec<Change>,
    mode: u16,
}

/// How the disk treats what it is asked to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Manner {
    #[default]
    Honest,
    /// Says that it synced, and did not.
    Lying,
    /// Says that it failed.
    Failing,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<StoredFile>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    manner: Manner,
    syncs: u64,
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct ForgetfulDisk(Arc<Mutex<State>>);

impl ForgetfulDisk {
    pub(crate) fn holding(content: &Content) -> Self {
        let disk = Self::default();
        let mut state = disk.0.lock().unwrap();
        for (name, bytes) in content {
            let at = state.files.len();
            let file =
                StoredFile { now: bytes.clone(), synced: bytes.clone(), since: Vec::new(), mode: 0o600 };
            state.files.push(file);
            state.names.insert(name.clone(), at);
        }
        state.synced_names = state.names.clone();
        drop(state);
        disk
    }

    /// `None`, and a line that says so, where none can be mounted.
    pub(crate) fn mount(&self, at: &Path) -> Option<BackgroundSession> {
        match fuser::spawn_mount(self.clone(), at, &Config::default()) {
            Ok(session) => Some(session),
            Err(error) => {
                eprintln!(
                    "SKIPPED: no FUSE file system can be mounted here ({error}); run as root with /dev/fuse"
                );
                None
            }
        }
    }

    pub(crate) fn set_manner(&self, manner: Manner) {
        self.0.lock().unwrap().manner = manner;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// What is left when the power is cut now. Of what was not synced each sector survives with the given probability,
    /// so that writes are torn and out of order.
    pub(crate) fn cut_power(&self, random: &mut ChaCha8Rng, survival: f64) -> Content {
        let state = self.0.lock().unwrap();
        let names = if random.random_bool(survival) { &state.names } else { &state.synced_names };
        let left =
            names.iter().map(|(name, at)| (name.clone(), survivors(&state.files[*at], random, survival)));
        left.collect()
    }
}

fn survivors(file: &StoredFile, random: &mut ChaCha8Rng, survival: f64) -> Vec<u8> {
    let mut content = file.synced.clone();
    for change in &file.since {
        match change {
            Change::Length(_) if random.random_bool(survival) => change.apply(&mut content),
            Change::Length(_) => {}
            Change::Write(at, data) => {
                let mut done = 0;
                while done < data.len() {
                    let end = data.len().min((at + done) / SECTOR * SECTOR + SECTOR - at);
                    if random.random_bool(survival) {
                        Change::Write(at + done, data[done..end].to_vec()).apply(&mut content);
                    }
                    done = end;
                }
            }
        }
    }
    content
}

impl State {
    fn attributes(&self, at: usize) -> FileAttr {
        attributes(
            INodeNo(at as u64 + 2),
            self.files[at].now.len() as u64,
            FileType::RegularFile,
            self.files[at].mode,
        )
    }

    fn change(&mut self, ino: INodeNo, change: Change) -> usize {
        let at = index(ino);
        change.apply(&mut self.files[at].now);
        self.files[at].since.push(change);
        at
    }

    fn sync(&mut self, ino: INodeNo) -> Result<(), Errno> {
        self.syncs += 1;
        match self.manner {
            Manner::Failing => return Err(Errno::EIO),
            Manner::Lying => return Ok(()),
            Manner::Honest => {}
        }
        if ino == INodeNo::ROOT {
            self.synced_names = self.names.clone();
        } else {
            let file = &mut self.files[index(ino)];
            for change in file.since.drain(..) {
                change.apply(&mut file.synced);
            }
        }
        Ok(())
    }
}

fn index(ino: INodeNo) -> usize {
    usize::try_from(u64::from(ino) - 2).unwrap()
}

fn attributes(ino: INodeNo, size: u64, kind: FileType, perm: u16) -> FileAttr {
    let ours = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: ours,
        gid: group,
        rdev: 0,
        flags: 0,
        blksize: 4_096,
    }
}

fn root() -> FileAttr {
    attributes(INodeNo::ROOT, 0, FileType::Directory, 0o700)
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for ForgetfulDisk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.0.lock().unwrap();
        match state.names.get(name.to_str().unwrap()) {
            Some(at) => reply.entry(&KNOWN_FOR, &state.attributes(*at), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = if ino == INodeNo::ROOT { root() } else { self.0.lock().unwrap().attributes(index(ino)) };
        reply.attr(&KNOWN_FOR, &found);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.0.lock().unwrap();
        if let Some(size) = size {
            state.change(ino, Change::Length(usize::try_from(size).unwrap()));
        }
        if let Some(mode) = mode {
            state.files[index(ino)].mode = u16::try_from(mode & 0o7777).unwrap();
        }
        reply.attr(&KNOWN_FOR, &state.attributes(index(ino)));
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.0.lock().unwrap();
        let at = state.files.len();
        let mode = u16::try_from(mode & !umask & 0o7777).unwrap();
        state.files.push(StoredFile { mode, ..StoredFile::default() });
        state.names.insert(name.to_str().unwrap().to_owned(), at);
        let attributes = state.attributes(at);
        reply.created(&KNOWN_FOR, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let gone = self.0.lock().unwrap().names.remove(name.to_str().unwrap());
        done(gone.map(|_| ()).ok_or(Errno::ENOENT), reply);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.0.lock().unwrap();
        let now = &state.files[index(ino)].now;
        let from = usize::try_from(offset).unwrap().min(now.len());
        reply.data(&now[from..now.len().min(from + size as usize)]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let change = Change::Write(usize::try_from(offset).unwrap(), data.to_vec());
        self.0.lock().unwrap().change(ino, change);
        reply.written(u32::try_from(data.len()).unwrap());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.0.lock().unwrap().sync(ino), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.0.lock().unwrap().sync(ino), reply);
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.0.lock().unwrap();
        let rest = state.names.iter().enumerate().skip(usize::try_from(offset).unwrap());
        for (at, (name, file)) in rest {
            if reply.add(INodeNo(*file as u64 + 2), at as u64 + 1, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }
}
