//! Standard output and standard error. Results go to [`Output`], whose errors are returned, never a panic; words for the
//! person go to standard error by [`note!`]. Knows nothing of what is written.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};

/// Results could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result to standard output")]
pub(crate) struct OutputError(#[source] io::Error);

impl OutputError {
    /// Whether the reader went away (`vitalwire … | head`), which is no fault.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// A secret was to be stored after it was shown, and could not be shown.
#[derive(Debug, thiserror::Error)]
#[error(
    "the secret could not be shown ({0}), so nothing was stored; run the command again with its output going where \
     you can read it"
)]
pub(crate) struct NotShown(io::Error);

/// Where results go: buffered, and flushed by `main` at the end. A command flushes by itself what must not wait.
pub(crate) struct Output<'w> {
    to: BufWriter<Box<dyn Write + 'w>>,
}

impl Output<'static> {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::new(io::stdout().lock())
    }
}

impl<'w> Output<'w> {
    /// Any other writer.
    pub(crate) fn new(writer: impl Write + 'w) -> Self {
        Self { to: BufWriter::new(Box::new(writer)) }
    }

    /// What `write!` and `writeln!` call.
    pub(crate) fn write_fmt(&mut self, words: fmt::Arguments<'_>) -> Result<(), OutputError> {
        self.to.write_fmt(words).map_err(OutputError)
    }

    /// Writes what was buffered.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.to.flush().map_err(OutputError)
    }

    /// Writes a secret that is stored afterwards, and all that was buffered. After an error the secret must not be stored.
    pub(crate) fn show_secret(&mut self, words: fmt::Arguments<'_>) -> Result<(), NotShown> {
        self.to.write_fmt(words).and_then(|()| self.to.flush()).map_err(NotShown)
    }
}

/// For commands whose exit status is a verdict: a reader that went away does not change it.
pub(crate) fn even_if_closed(written: Result<(), OutputError>) -> Result<(), OutputError> {
    match written {
        Err(error) if error.is_closed() => Ok(()),
        written => written,
    }
}

/// Writes a line for the person to standard error. That no one can read it is no reason to stop.
pub(crate) fn note_line(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// A line for the person, on standard error; as `eprintln!`, but without a panic when it is closed.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::note_line(::std::format_args!($($words)*)) };
}
pub(crate) use note;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then fails.
    struct Pipe {
        room: usize,
        kind: ErrorKind,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.room {
                0 => Err(self.kind.into()),
                room => {
                    let taken = room.min(bytes.len());
                    self.room -= taken;
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_a_full_disk() {
        let error = |kind| {
            let mut out = Output::new(Pipe { room: 3, kind });
            writeln!(out, "four").unwrap();
            out.flush().unwrap_err()
        };
        assert!(error(ErrorKind::BrokenPipe).is_closed());
        assert!(!error(ErrorKind::StorageFull).is_closed());
        assert!(even_if_closed(Err(error(ErrorKind::BrokenPipe))).is_ok());
        assert!(even_if_closed(Err(error(ErrorKind::StorageFull))).is_err());
    }

    #[test]
    fn a_secret_counts_as_shown_only_when_all_of_it_was_written() {
        let shown = |room| {
            Output::new(Pipe { room, kind: ErrorKind::BrokenPipe }).show_secret(format_args!("secret\n"))
        };
        assert!(shown(7).is_ok());
        assert!(shown(6).is_err());
    }
}
