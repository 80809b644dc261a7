//! The paper's AES-CBC frames (PROTOCOL.md §2), `chained`, as its Raspberry Pi Pico sends them: one sample a frame, live.
//!
//! There is no backlog. A frame has no time, the server takes the moment of its arrival: one that was kept would be given the
//! wrong time. So what cannot be sent at once is lost, which is one reason why the secure link exists. There is no integrity
//! either (SECURITY.md).

use embassy_futures::select::{Either3, select3};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use vitalwire_protocol::{CbcSecret, Channel, FrameEncoder, FrameError, Variant};

use super::{Collector, Delivering, Done, MESSAGE_LEN, Memory, Network, TroubleNews, WATCH_EVERY_MS};
use crate::clock::Clock;
use crate::recorder::Sample;
use crate::status::Trouble;

/// What stands in a frame for a value that was not measured: −127.000. A frame must have all its values and cannot mark one;
/// this one is outside the range of every channel, so that the server marks it.
pub const NOT_MEASURED_MILLI: i32 = -127_000;
/// Bytes of a sample's JSON text, at most: seven values of 12 characters, keys and punctuation.
pub const SAMPLE_LEN_MAX: usize = 192;

/// A server that does not know the key closes the connection at the first frame. One that keeps it so long has taken the
/// frames, in milliseconds.
const ACCEPTED_MS: u64 = 3_000;

/// The text and its frame share the collector's buffer.
const FRAME_LEN: usize = MESSAGE_LEN - SAMPLE_LEN_MAX;
const _: () = assert!(FRAME_LEN >= (SAMPLE_LEN_MAX / 16 + 1) * 33);

impl<N, C, M, R, F> Collector<'_, N, C, M, R, F>
where
    N: Network,
    C: Clock,
    M: RawMutex,
    R: AsRef<[u8]> + AsMut<[u8]>,
    F: NorFlash,
{
    /// Sends frames until the connection ends.
    pub(super) async fn serve_frames<S, T>(
        &self,
        socket: S,
        (key, iv): (&[u8; 16], &[u8; 16]),
        memory: &mut Memory,
        delivering: &Delivering<'_, T>,
    ) -> Result<Done, Trouble>
    where
        S: Read + Write + Clone,
        T: FnMut(TroubleNews),
    {
        let encoder = FrameEncoder::new(&CbcSecret::new(*key, *iv), Variant::Chained);
        // The one that is there may be as old as the connection before.
        self.shared.forget_sample();
        let sent = self.send(socket.clone(), &encoder, &mut memory.message, delivering);
        let has_answered = match select3(sent, hear(socket), self.watch_frames(delivering)).await {
            Either3::First(()) => false,
            Either3::Second(has_answered) => has_answered,
            Either3::Third(never) => match never {},
        };
        let is_accepted = delivering.since_ms.get().is_some() && !has_answered;
        Err(if is_accepted { Trouble::ServerSilent } else { Trouble::ServerRefuses })
    }

    /// Sends each sample that comes, until the connection fails.
    async fn send<S, T>(
        &self,
        mut socket: S,
        encoder: &FrameEncoder,
        buffer: &mut [u8; MESSAGE_LEN],
        delivering: &Delivering<'_, T>,
    ) where
        S: Write,
        T: FnMut(TroubleNews),
    {
        let mut first_ms = None;
        loop {
            let sample = self.shared.sample().await;
            let Ok(frame) = encode(&sample, encoder, buffer) else {
                // The text is what a frame takes, and its buffer is long enough.
                continue;
            };
            if socket.write_all(frame).await.is_err() || socket.flush().await.is_err() {
                return;
            }
            let now_ms = self.clock.now_ms();
            if now_ms.saturating_sub(*first_ms.get_or_insert(now_ms)) >= ACCEPTED_MS {
                self.delivers(delivering);
            }
        }
    }

    /// Gives signs of life.
    async fn watch_frames<T: FnMut(TroubleNews)>(
        &self,
        delivering: &Delivering<'_, T>,
    ) -> core::convert::Infallible {
        loop {
            self.live(delivering);
            self.clock.wait_ms(WATCH_EVERY_MS).await;
        }
    }
}

/// Waits for the end of the connection. A server never answers frames: whether it did.
async fn hear<S: Read>(mut socket: S) -> bool {
    let mut byte = [0];
    matches!(socket.read(&mut byte).await, Ok(len) if len > 0)
}

fn encode<'b>(
    sample: &Sample,
    encoder: &FrameEncoder,
    buffer: &'b mut [u8; MESSAGE_LEN],
) -> Result<&'b [u8], FrameError> {
    let (text, frame) = buffer.split_at_mut(SAMPLE_LEN_MAX);
    let len = write_sample(sample, text).ok_or(FrameError::JsonWithoutEnd)?;
    let len = encoder.encode(text.get(..len).unwrap_or_default(), frame)?;
    Ok(frame.get(..len).unwrap_or_default())
}

/// Writes a sample's JSON text to the start of `out` and returns its length: the paper's keys in the paper's order, strings of
/// three decimals (PROTOCOL.md §2.4). `None`: `out` is too small; [`SAMPLE_LEN_MAX`] bytes always suffice.
///
/// It does what [`vitalwire_protocol::write_sample_json`] does, without floats, which cost a microcontroller most of the frame.
#[must_use]
pub fn write_sample(sample: &Sample, out: &mut [u8]) -> Option<usize> {
    let mut text = Text { out, len: 0 };
    for (channel, milli) in Channel::ALL.into_iter().zip(sample.milli) {
        text.push(if channel == Channel::Temp { b"{\"" } else { b",\"" })?;
        text.push(channel.json_key().as_bytes())?;
        text.push(b"\":\"")?;
        text.push_milli(milli.unwrap_or(NOT_MEASURED_MILLI))?;
        text.push(b"\"")?;
    }
    text.push(b"}")?;
    Some(text.len)
}

/// Text written to a slice.
struct Text<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, part: &[u8]) -> Option<()> {
        let end = self.len + part.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(part);
        self.len = end;
        Some(())
    }

    /// A number of thousandths, with three decimals.
    fn push_milli(&mut self, milli: i32) -> Option<()> {
        if milli < 0 {
            self.push(b"-")?;
        }
        // Ten digits, and a point before the last three.
        let mut digits = [b'0'; 11];
        let mut rest = milli.unsigned_abs();
        let mut first = 6;
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            if place == 7 {
                *digit = b'.';
                continue;
            }
            if rest > 0 {
                first = first.min(place);
            }
            *digit = b'0' + u8::try_from(rest % 10).ok()?;
            rest /= 10;
        }
        self.push(digits.get(first..)?)
    }
}

#[cfg(test)]
mod tests;
