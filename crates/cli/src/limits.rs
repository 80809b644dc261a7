//! The process's limits: how many files and sockets it may hold open.

/// Raises the soft limit on open files to the hard one and returns it: every device is a socket. Where the
/// system refuses, the old limit stays, and the gateway's accept back-off copes.
pub(crate) fn raise_open_files() -> u64 {
    rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot raise the limit on open files; check `ulimit -n`");
        rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(0, |(soft, _)| soft)
    })
}

/// Soft and hard limit on open files.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    rlimit::getrlimit(rlimit::Resource::NOFILE).ok()
}
