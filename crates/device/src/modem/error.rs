//! What can go wrong with the modem, its links and its network.

use embedded_io_async::{Error, ErrorKind};

/// A command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModemError {
    /// No answer in time.
    #[error("the modem did not answer {command} within {ms_max} ms: check its wiring and its power")]
    Silent {
        /// The command, without its parameters.
        command: &'static str,
        /// How long the answer may take, in milliseconds.
        ms_max: u64,
    },
    /// It answered that it is busy, for too long.
    #[error("the modem was busy for {ms_max} ms when {command} was sent")]
    Busy {
        /// The command, without its parameters.
        command: &'static str,
        /// How long it may be busy, in milliseconds.
        ms_max: u64,
    },
    /// It answered with an error.
    #[error("the modem refused {command}")]
    Refused {
        /// The command, without its parameters.
        command: &'static str,
    },
    /// It restarted, or was never started: nothing holds that was set up before.
    #[error("the modem has restarted: start it")]
    NotStarted,
    /// The bytes could not be sent to it.
    #[error("the modem's line failed: {0:?}")]
    Line(ErrorKind),
    /// A parameter cannot be said in a command: too long, or with a line end in it.
    #[error("a name or password is too long for the modem, or has a line end in it")]
    Unsendable,
    /// All links are in use.
    #[error("all {max} connections of the modem are in use")]
    NoFreeLink {
        /// How many there are.
        max: usize,
    },
    /// It is not on a network, so that it has no address.
    #[error("the modem has no address: join a network")]
    NoAddress,
}

/// Joining a network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The network did not answer in time.
    #[error("the network did not answer in time")]
    TimedOut,
    /// The password is wrong.
    #[error("the network refused the password")]
    WrongPassword,
    /// No network of that name is in reach.
    #[error("no network of that name is in reach")]
    NotFound,
    /// It failed for another reason.
    #[error("joining the network failed")]
    Failed,
    /// The modem failed.
    #[error(transparent)]
    Modem(#[from] ModemError),
}

/// Connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The host's name has no address.
    #[error("the server's name has no address")]
    NoSuchHost,
    /// Nothing answers there.
    #[error("nothing answers at the server's address and port")]
    Unreachable,
    /// The modem is not on a network.
    #[error("the modem is not on a network")]
    NotJoined,
    /// The modem failed.
    #[error(transparent)]
    Modem(#[from] ModemError),
}

/// A link cannot be used any more; what was received before the error may be incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// It is closed: nothing can be written. Reading from a closed link gives what came, and then its end.
    #[error("the connection is closed")]
    Closed,
    /// The other side sent more than was read.
    #[error("more than {room} bytes came before they were read")]
    Overrun {
        /// Bytes that a link keeps.
        room: usize,
    },
    /// Bytes were lost between the modem and here.
    #[error("bytes were lost between the modem and the device")]
    Garbled,
    /// The modem could not send.
    #[error("the modem could not send")]
    NotSent,
    /// A write was given up before it had ended, so that no one knows what was sent.
    #[error("a write was given up half way")]
    Interrupted,
    /// The modem restarted, or the network is gone.
    #[error("the modem lost the connection")]
    Lost,
    /// The modem failed.
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
