//! The answer to a name lookup in the device's own network: every name is the device, so that a phone which asks for its
//! maker's site finds the configuration page (RFC 1035 §4.1). It resolves nothing and keeps nothing.

/// Bytes of a message, at most, without extensions (RFC 1035 §4.2.1).
pub const MESSAGE_LEN_MAX: usize = 512;
/// The port that names are asked on.
pub const PORT: u16 = 53;

const HEAD_LEN: usize = 12;
/// Bytes of a name, at most (RFC 1035 §2.3.4).
const NAME_LEN_MAX: usize = 255;
const LABEL_LEN_MAX: u8 = 63;
/// A response, authoritative, without error; with what the query said of recursion.
const FLAGS: u16 = 0x8400;
const RECURSION_DESIRED: u16 = 0x0100;
/// The bits that say that it is a response, and the kind of query.
const IS_RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
/// Seconds that an answer may be kept. Elsewhere the name is another.
const KEPT_S: u32 = 0;

/// Writes the answer to `query` into `out` and returns its length: `address` for each IPv4 address that is asked for, and
/// no record for anything else. `None`: what came is no query, and gets no answer.
pub fn answer(query: &[u8], address: [u8; 4], out: &mut [u8]) -> Option<usize> {
    let (id, rest) = query.split_first_chunk::<2>()?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (questions, _) = rest.split_first_chunk::<2>()?;
    let flags = u16::from_be_bytes(*flags);
    if query.len() > MESSAGE_LEN_MAX || flags & (IS_RESPONSE | OPCODE) != 0 || *questions != [0, 1] {
        return None;
    }
    let question_len = question_len(query.get(HEAD_LEN..)?)?;
    let question = query.get(HEAD_LEN..HEAD_LEN + question_len)?;
    let (_, kind_and_class) = question.split_last_chunk::<4>()?;
    let [kind, kind_low, class, class_low] = *kind_and_class;
    let is_address =
        u16::from_be_bytes([kind, kind_low]) == TYPE_A && u16::from_be_bytes([class, class_low]) == CLASS_IN;

    let mut writer = Writer { out, len: 0 };
    writer.put(id)?;
    writer.put(&(FLAGS | flags & RECURSION_DESIRED).to_be_bytes())?;
    writer.put(&[0, 1, 0, u8::from(is_address), 0, 0, 0, 0])?;
    writer.put(question)?;
    if is_address {
        // The name is the one at offset 12.
        writer.put(&[0xc0, 12])?;
        writer.put(kind_and_class)?;
        writer.put(&KEPT_S.to_be_bytes())?;
        writer.put(&[0, 4])?;
        writer.put(&address)?;
    }
    Some(writer.len)
}

/// Bytes of a question: a name of labels, a type and a class.
fn question_len(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = *bytes.get(at)?;
        // A pointer would point before the only name there is.
        if label > LABEL_LEN_MAX || at >= NAME_LEN_MAX {
            return None;
        }
        at += 1 + usize::from(label);
        if label == 0 {
            return (at + 4 <= bytes.len()).then_some(at + 4);
        }
    }
}

struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: [u8; 4] = [192, 168, 4, 1];
    /// `connectivitycheck.a` asked for its address, with recursion, and an EDNS record that is not answered.
    const QUERY: &[u8] = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
        \x11connectivitycheck\x01a\x00\x00\x01\x00\x01\
        \x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00";

    fn answered(query: &[u8]) -> Option<std::vec::Vec<u8>> {
        let mut out = [0; MESSAGE_LEN_MAX];
        answer(query, ADDRESS, &mut out).map(|len| out[..len].to_vec())
    }

    #[test]
    fn an_address_is_that_of_the_device() {
        let expected: &[u8] = b"\xab\xcd\x85\x00\x00\x01\x00\x01\x00\x00\x00\x00\
            \x11connectivitycheck\x01a\x00\x00\x01\x00\x01\
            \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\xa8\x04\x01";
        assert_eq!(answered(QUERY).unwrap(), expected);
    }

    #[test]
    fn other_types_and_classes_have_no_record() {
        // AAAA, HTTPS, and an address of class CHAOS.
        for (kind, class) in [(28, 1), (65, 1), (1, 3)] {
            let query = [b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x01a\0\0".as_slice(), &[kind, 0, class]].concat();
            let expected =
                [b"\0\x01\x84\0\0\x01\0\0\0\0\0\0\x01a\0\0".as_slice(), &[kind, 0, class]].concat();
            assert_eq!(answered(&query).unwrap(), expected);
        }
    }

    #[test]
    fn every_cut_of_a_question_is_no_query() {
        for len in 0..QUERY.len() - 11 {
            assert_eq!(answered(&QUERY[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn responses_and_other_messages_get_no_answer() {
        for (at, byte) in [(2, 0x81), (2, 0x29), (5, 0), (5, 2), (12, 0xc0), (12, 64)] {
            let mut message = QUERY.to_vec();
            message[at] = byte;
            assert_eq!(answered(&message), None, "byte {at} is {byte:#x}");
        }
        let endless = [&QUERY[..12], &b"\x01a".repeat(200), b"\0\0\x01\0\x01"].concat();
        assert_eq!(answered(&endless), None);
    }

    #[test]
    fn an_answer_needs_room() {
        let len = answered(QUERY).unwrap().len();
        for room in 0..len {
            assert_eq!(answer(QUERY, ADDRESS, &mut std::vec![0; room]), None);
        }
    }

    extern crate std;
}
