//! What can go wrong with the modem, its links and its network.

use embedded_io_async::{Error, ErrorKind};

/// A command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ModemError {
    #[error("the modem did not answer {command} within {ms_max} ms: check its wiring and its power")]
    Silent {
        /// The command, without its parameters.
        command: &'static str,
        ms_max: u64,
    },
    #[error("the modem was busy for {ms_max} ms when {command} was sent")]
    Busy {
        /// The command, without its parameters.
        command: &'static str,
        ms_max: u64,
    },
    #[error("the modem refused {command}")]
    Refused {
        /// The command, without its parameters.
        command: &'static str,
    },
    /// It restarted, or was never started: nothing holds that was set up before.
    #[error("the modem has restarted: start it")]
    NotStarted,
    #[error("the modem's line failed: {0:?}")]
    Line(ErrorKind),
    #[error("a name or password is too long for the modem, or has a line end in it")]
    Unsendable,
    #[error("all {max} connections of the modem are in use")]
    NoFreeLink { max: usize },
    #[error("the modem has no address: join a network")]
    NoAddress,
}

/// Joining a network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum JoinError {
    #[error("the network did not answer in time")]
    TimedOut,
    #[error("the network refused the password")]
    WrongPassword,
    #[error("no network of that name is in reach")]
    NotFound,
    #[error("joining the network failed")]
    Failed,
    #[error(transparent)]
    Modem(#[from] ModemError),
}

/// Connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConnectError {
    #[error("the server's name has no address")]
    NoSuchHost,
    #[error("nothing answers at the server's address and port")]
    Unreachable,
    #[error("the modem is not on a network")]
    NotJoined,
    #[error(transparent)]
    Modem(#[from] ModemError),
}

/// A link cannot be used any more; what was received before the error may be incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SocketError {
    /// It is closed: nothing can be written. Reading from a closed link gives what came, and then its end.
    #[error("the connection is closed")]
    Closed,
    #[error("more than {room} bytes came before they were read")]
    Overrun {
        /// Bytes that a link keeps.
        room: usize,
    },
    #[error("bytes were lost between the modem and the device")]
    Garbled,
    #[error("the modem could not send")]
    NotSent,
    /// A write was given up before it had ended, so that no one knows what was sent.
    #[error("a write was given up half way")]
    Interrupted,
    /// The modem restarted, or the network is gone.
    #[error("the modem lost the connection")]
    Lost,
    #[error(transparent)]
    Modem(#[from] ModemError),
}

impl Error for SocketError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed => ErrorKind::BrokenPipe,
            Self::Overrun { .. } => ErrorKind::OutOfMemory,
            Self::Garbled => ErrorKind::InvalidData,
            Self::NotSent | Self::Lost => ErrorKind::ConnectionReset,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Modem(ModemError::Silent { .. } | ModemError::Busy { .. }) => ErrorKind::TimedOut,
            Self::Modem(_) => ErrorKind::Other,
        }
    }
}
