//! Finds where a message ends, in a stream that is cut anywhere. It judges form and length, never meaning.

use super::{BatchError, MESSAGE_LEN_MAX, NESTING_MAX};

/// The first byte of every message: an array of two.
pub(super) const MESSAGE_START: u8 = 0x82;
const MESSAGE_ITEMS: usize = 2;

/// Walks over the CBOR of one message as its bytes come, and remembers how far it got, so that a peer who sends byte by
/// byte costs no more than one who sends at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanner {
    /// Offset of the next item's first byte; past the bytes seen while a string is still on its way.
    next: usize,
    /// Items announced and not yet walked over; 0 before the first byte.
    pending: usize,
    /// The same, of each array, map and tag around the next item; the outermost first.
    open: [usize; NESTING_MAX],
    depth: usize,
}

/// The first bytes of an item.
struct Head {
    major: u8,
    argument: u64,
    len: usize,
}

impl Scanner {
    /// The length of the message that `bytes` begins with, and the scanner is ready for the next one; `Ok(None)` when it
    /// goes on after them. Pass the same bytes again with more behind them.
    ///
    /// # Errors
    /// The bytes begin no message, or one that is longer than [`MESSAGE_LEN_MAX`]: said as soon as it is announced,
    /// before it has come.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, BatchError> {
        if self.next == 0 {
            match bytes.first() {
                None => return Ok(None),
                Some(&MESSAGE_START) => {
                    self.next = 1;
                    self.pending = MESSAGE_ITEMS;
                    self.enter(0, MESSAGE_ITEMS)?;
                }
                Some(_) => return Err(BatchError::NotAMessage { at: 0 }),
            }
        }
        while self.pending > 0 {
            let Some(head) = head(bytes, self.next)? else { return Ok(None) };
            self.step(&head)?;
        }
        let len = self.next;
        if len > bytes.len() {
            return Ok(None);
        }
        *self = Self::default();
        Ok(Some(len))
    }

    /// Goes into an array, a map or a tag of so many items, which begins at `at`.
    fn enter(&mut self, at: usize, items: usize) -> Result<(), BatchError> {
        let open = self.open.get_mut(self.depth).ok_or(BatchError::TooDeep { at })?;
        *open = items;
        self.depth += 1;
        Ok(())
    }

    /// Takes one item off what it lies in.
    fn leave_item(&mut self) {
        if let Some(open) = self.depth.checked_sub(1).and_then(|depth| self.open.get_mut(depth)) {
            *open -= 1;
        }
    }

    /// Leaves what has no more items.
    fn leave_finished(&mut self) {
        while let Some(depth) = self.depth.checked_sub(1)
            && self.open.get(depth) == Some(&0)
        {
            self.depth = depth;
        }
    }

    /// Walks over one item's head, and its content if that is a string.
    fn step(&mut self, head: &Head) -> Result<(), BatchError> {
        let at = self.next;
        let (content, items) = match head.major {
            2 | 3 => (head.argument, 0),
            4 => (0, head.argument),
            5 => (0, head.argument.saturating_mul(2)),
            6 => (0, 1),
            _ => (0, 0),
        };
        let budget = u64::try_from(MESSAGE_LEN_MAX - at.min(MESSAGE_LEN_MAX)).unwrap_or(0);
        // Each item that is still to come takes a byte at least.
        let known = u64::try_from(head.len + self.pending - 1).unwrap_or(u64::MAX);
        if content.saturating_add(items).saturating_add(known) > budget {
            return Err(BatchError::TooLong { at });
        }
        let within = |count| usize::try_from(count).map_err(|_| BatchError::TooLong { at });
        let items = within(items)?;
        self.leave_item();
        if matches!(head.major, 4..=6) {
            self.enter(at, items)?;
        }
        self.leave_finished();
        self.next += head.len + within(content)?;
        self.pending = self.pending - 1 + items;
        Ok(())
    }
}

/// The head of the item at `at`; `None` when it has not come whole.
fn head(bytes: &[u8], at: usize) -> Result<Option<Head>, BatchError> {
    let Some(rest) = bytes.get(at..) else { return Ok(None) };
    let Some((&first, rest)) = rest.split_first() else { return Ok(None) };
    let (major, info) = (first >> 5, first & 0x1f);
    let width = match info {
        0..=23 => return Ok(Some(Head { major, argument: u64::from(info), len: 1 })),
        24..=27 => 1_usize << (info - 24),
        _ => return Err(BatchError::NotDefiniteCbor { at }),
    };
    let Some(argument) = rest.get(..width) else { return Ok(None) };
    let argument = argument.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    // RFC 8949 §3.3: simple values below 32 have one form only, the short one.
    if major == 7 && info == 24 && argument < 32 {
        return Err(BatchError::NotDefiniteCbor { at });
    }
    Ok(Some(Head { major, argument, len: 1 + width }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
        Scanner::default().scan(bytes)
    }

    #[test]
    fn a_message_ends_where_its_last_item_does() {
        assert_eq!(scan(&[]), Ok(None));
        assert_eq!(scan(&[0x82]), Ok(None));
        assert_eq!(scan(&[0x82, 1]), Ok(None));
        assert_eq!(scan(&[0x82, 1, 0xa0]), Ok(Some(3)));
        assert_eq!(scan(&[0x82, 1, 0xa0, 0x82]), Ok(Some(3)));
        assert_eq!(scan(&[0x82, 1, 0xa1, 0, 0x43, 1, 2]), Ok(None));
        assert_eq!(scan(&[0x82, 1, 0xa1, 0, 0x43, 1, 2, 3]), Ok(Some(8)));
        assert_eq!(scan(&[0x82, 1, 0xd8, 72, 0x81, 0xf4, 0]), Ok(Some(6)));
    }

    #[test]
    fn a_scanner_is_ready_for_the_next_message() {
        let mut scanner = Scanner::default();
        for _ in 0..3 {
            assert_eq!(scanner.scan(&[0x82, 1]), Ok(None));
            assert_eq!(scanner.scan(&[0x82, 1, 0xa0]), Ok(Some(3)));
        }
    }

    #[test]
    fn refuses_what_begins_no_message_at_its_first_byte() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != MESSAGE_START) {
            assert_eq!(scan(&[byte]), Err(BatchError::NotAMessage { at: 0 }));
        }
    }

    #[test]
    fn refuses_a_long_message_where_it_is_announced() {
        for major in [0x40, 0x60, 0x80, 0xa0] {
            assert_eq!(scan(&[0x82, 1, major | 25, 0x40, 0x00]), Err(BatchError::TooLong { at: 2 }));
            assert_eq!(
                scan(&[0x82, 1, major | 27, 255, 255, 255, 255, 255, 255, 255, 255]),
                Err(BatchError::TooLong { at: 2 })
            );
        }
        // Five bytes come before the string's content.
        assert_eq!(scan(&[0x82, 1, 0x59, 0x3f, 0xfc]), Err(BatchError::TooLong { at: 2 }));
        assert_eq!(scan(&[0x82, 1, 0x59, 0x3f, 0xfb]), Ok(None));
        // An item that is still to come takes a byte.
        assert_eq!(scan(&[0x82, 0x59, 0x3f, 0xfb]), Ok(None));
        assert_eq!(scan(&[0x82, 0x59, 0x3f, 0xfc]), Err(BatchError::TooLong { at: 1 }));
    }

    #[test]
    fn refuses_a_pile_of_tags_arrays_or_maps_at_the_limit() {
        for (nesting, last) in [(&[0xc1][..], 0xf6), (&[0x81], 0x80), (&[0xa1, 0], 0xa0)] {
            // Within the message's own array.
            let within = |levels: usize| [&[MESSAGE_START, 1][..], &nesting.repeat(levels)].concat();
            let fits = within(NESTING_MAX - 1);
            assert_eq!(scan(&fits), Ok(None));
            assert_eq!(scan(&[&fits[..], &[0]].concat()), Ok(Some(fits.len() + 1)));
            // The one too many is refused at its first byte, also when it is empty.
            assert_eq!(scan(&within(NESTING_MAX)), Err(BatchError::TooDeep { at: fits.len() }));
            let empty = scan(&[&fits[..], &[last]].concat());
            assert_eq!(empty.is_ok(), last == 0xf6, "{empty:?}");
        }
    }

    #[test]
    fn what_lies_side_by_side_is_not_deep() {
        let siblings = [&[MESSAGE_START, 1, 0x98, 200][..], &[0x81, 0x81, 0x80].repeat(200)].concat();
        assert_eq!(scan(&siblings), Ok(Some(siblings.len())));
        // Each the last of what it lies in.
        let message = [MESSAGE_START, 1, 0x82, 0x80, 0x82, 0xc1, 0, 0xa1, 0, 0x80];
        assert_eq!(scan(&message), Ok(Some(message.len())));
        assert_eq!(scan(&[&message[..], &message].concat()), Ok(Some(message.len())));
    }

    #[test]
    fn refuses_indefinite_lengths_and_reserved_forms() {
        for byte in [0x5f, 0x7f, 0x9f, 0xbf, 0xff, 0x1c, 0x3d, 0x5e, 0x9c, 0xfc, 0xdf] {
            assert_eq!(scan(&[0x82, 1, byte]), Err(BatchError::NotDefiniteCbor { at: 2 }));
        }
        assert_eq!(scan(&[0x82, 1, 0xf8, 31]), Err(BatchError::NotDefiniteCbor { at: 2 }));
    }
}
