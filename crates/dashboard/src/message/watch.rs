//! What the page may say (PROTOCOL.md §6.3), read from bytes. It needs nothing but the standard library, so that `fuzz` builds this file alone.

/// Its kind: whose waves the page wants.
const WATCH: u8 = 1;

/// The longest message of the page, in bytes.
pub const WATCH_LEN_MAX: usize = 65_536;

/// The page said what is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMessage;

/// Whose waves a page wants: the numbers of devices, in its order.
///
/// # Errors
/// It is no such message.
pub fn watched(message: &[u8]) -> Result<Vec<u16>, NoMessage> {
    let Some((&WATCH, numbers)) = message.split_first() else { return Err(NoMessage) };
    match numbers.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()),
        _ => Err(NoMessage),
    }
}
