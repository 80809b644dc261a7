//! Puts the server's messages together from the pieces in which they come, in a buffer of one message.

use vitalwire_protocol::batch::{BatchError, Message, SERVER_MESSAGE_LEN_MAX, Scanner, decode};

use super::SessionError;

/// The message on its way.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: [u8; SERVER_MESSAGE_LEN_MAX],
    filled: usize,
    scanner: Scanner,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { buffer: [0; SERVER_MESSAGE_LEN_MAX], filled: 0, scanner: Scanner::default() }
    }
}

impl Inbox {
    /// Takes the bytes of one message off `bytes`; `None` when its end has not come.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Message<'_>>, SessionError> {
        const TOO_LONG: SessionError = SessionError::TooLong { max: SERVER_MESSAGE_LEN_MAX };
        let before = self.filled;
        let room = self.buffer.get_mut(before..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        let (taken, rest) = bytes.split_at(count);
        for (to, from) in room.iter_mut().zip(taken) {
            *to = *from;
        }
        let seen = self.buffer.get(..before + count).unwrap_or_default();
        let Some(len) = self.scanner.scan(seen)? else {
            (self.filled, *bytes) = (before + count, rest);
            return if self.filled == SERVER_MESSAGE_LEN_MAX { Err(TOO_LONG) } else { Ok(None) };
        };
        // The scanner saw no end in what was here before.
        *bytes = bytes.get(len - before..).unwrap_or_default();
        self.filled = 0;
        match decode(self.buffer.get(..len).unwrap_or_default())? {
            Some((message, _)) => Ok(Some(message)),
            None => Err(BatchError::NotAMessage { at: 0 }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_from_pieces_of_every_size() {
        let stream = [0x82, 17, 0xa1, 0, 7, 0x82, 0x18, 99, 0xa0, 0x82, 17, 0xa1, 0, 8];
        for size in 1..=stream.len() {
            let (mut inbox, mut acks) = (Inbox::default(), [0; 2]);
            let mut came = 0;
            for mut piece in stream.chunks(size) {
                while let Some(message) = inbox.next(&mut piece).unwrap() {
                    if let Message::Ack { sequence } = message {
                        acks[came] = sequence;
                        came += 1;
                    }
                }
                assert!(piece.is_empty());
            }
            assert_eq!((acks, came), ([7, 8], 2), "pieces of {size}");
        }
    }

    #[test]
    fn refuses_a_message_longer_than_its_buffer() {
        let mut message = [0; SERVER_MESSAGE_LEN_MAX + 1];
        let content = u16::try_from(message.len() - 8).unwrap().to_be_bytes();
        message[..8].copy_from_slice(&[0x82, 0x18, 99, 0xa1, 0, 0x59, content[0], content[1]]);
        let mut rest = &message[..];
        assert_eq!(Inbox::default().next(&mut rest).unwrap_err(), SessionError::TooLong { max: 512 });
        // One byte less fits.
        message[7] -= 1;
        let mut rest = &message[..SERVER_MESSAGE_LEN_MAX];
        assert!(matches!(Inbox::default().next(&mut rest), Ok(Some(Message::Unknown { kind: 99 }))));
    }
}
