//! The log that a person reads over USB. Writing to it never waits: lines that no one has read yet are kept, the newest 6 KiB
//! of them, older ones are dropped and counted. No key and no patient's value is ever given to it.

use core::cell::RefCell;
use core::fmt::{Arguments, Write};

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Instant;
use heapless::{Deque, String};

const KEPT_LEN_MAX: usize = 6 * 1024;
/// Bytes of a line; a longer one is cut.
const LINE_LEN_MAX: usize = 160;

/// Writes a line to the log, like `println!`.
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::log::line(format_args!($($argument)*))
    };
}
pub(crate) use log;

static KEPT: Mutex<CriticalSectionRawMutex, RefCell<Kept>> = Mutex::new(RefCell::new(Kept::new()));
static MORE: Signal<CriticalSectionRawMutex, ()> = Signal::new();

struct Kept {
    bytes: Deque<u8, KEPT_LEN_MAX>,
    /// Bytes that ever left the front, so that a reader knows whether what it took is still there.
    gone: u32,
    lines_dropped: u32,
}

impl Kept {
    const fn new() -> Self {
        Self { bytes: Deque::new(), gone: 0, lines_dropped: 0 }
    }

    fn push(&mut self, line: &str) {
        while self.bytes.capacity() - self.bytes.len() < line.len() {
            self.drop_line();
        }
        for byte in line.bytes() {
            // There is room: made above.
            let _ = self.bytes.push_back(byte);
        }
    }

    fn drop_line(&mut self) {
        while let Some(byte) = self.bytes.pop_front() {
            self.gone = self.gone.wrapping_add(1);
            if byte == b'\n' {
                break;
            }
        }
        self.lines_dropped = self.lines_dropped.saturating_add(1);
    }
}

/// Writes a line; see [`log!`].
pub(crate) fn line(arguments: Arguments<'_>) {
    let mut line: String<{ LINE_LEN_MAX + 2 }> = String::new();
    let now_ms = Instant::now().as_millis();
    let mut cut = Cut { line: &mut line };
    // Cutting is not an error.
    let _ = write!(cut, "[{:6}.{:03}] {arguments}", now_ms / 1_000, now_ms % 1_000);
    let _ = line.push_str("\r\n");
    KEPT.lock(|kept| kept.borrow_mut().push(&line));
    MORE.signal(());
}

/// Takes the characters that fit.
struct Cut<'l> {
    line: &'l mut String<{ LINE_LEN_MAX + 2 }>,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for character in text.chars() {
            if self.line.len() + character.len_utf8() > LINE_LEN_MAX {
                break;
            }
            let _ = self.line.push(character);
        }
        Ok(())
    }
}

/// A piece of the log that was read and not yet taken.
pub(crate) struct Piece<const N: usize> {
    bytes: heapless::Vec<u8, N>,
    at: u32,
}

impl<const N: usize> Piece<N> {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The oldest bytes of the log, as soon as there are some. They stay there until they are taken.
pub(crate) async fn oldest<const N: usize>() -> Piece<N> {
    loop {
        let piece = KEPT.lock(|kept| {
            let mut kept = kept.borrow_mut();
            let dropped = core::mem::take(&mut kept.lines_dropped);
            if dropped > 0 {
                kept.tell_dropped(dropped);
            }
            Piece { bytes: kept.bytes.iter().copied().take(N).collect(), at: kept.gone }
        });
        if !piece.bytes.is_empty() {
            return piece;
        }
        MORE.wait().await;
    }
}

impl Kept {
    /// Puts a line before the oldest one, where there is room for it.
    fn tell_dropped(&mut self, dropped: u32) {
        let mut line: String<48> = String::new();
        let _ = write!(line, "[{dropped} lines were dropped]\r\n");
        if self.bytes.capacity() - self.bytes.len() < line.len() {
            self.lines_dropped = dropped;
            self.drop_line();
            return;
        }
        for byte in line.bytes().rev() {
            let _ = self.bytes.push_front(byte);
        }
        self.gone = self.gone.wrapping_sub(u32::try_from(line.len()).unwrap_or(0));
    }
}

/// A person has this piece: it need not be kept.
pub(crate) fn take<const N: usize>(piece: &Piece<N>) {
    KEPT.lock(|kept| {
        let mut kept = kept.borrow_mut();
        let end = piece.at.wrapping_add(u32::try_from(piece.bytes.len()).unwrap_or(0));
        // Lines that were dropped meanwhile are no longer at the front.
        let left = end.wrapping_sub(kept.gone);
        if left as usize <= N {
            for _ in 0..left {
                let _ = kept.bytes.pop_front();
            }
            kept.gone = end;
        }
    });
}
