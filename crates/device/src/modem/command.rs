//! How a command is written: parameters quoted and escaped (Espressif, "ESP-AT User Guide", AT Command Types: `"`, `,` and
//! `\` of a text are sent with a backslash before them; a command has at most 256 bytes).

use core::fmt::Write;

use heapless::Vec;

use super::error::ModemError;

/// Bytes of a command with its line end, at most.
pub(super) const COMMAND_LEN_MAX: usize = 256;

pub(super) type Command = Vec<u8, COMMAND_LEN_MAX>;

/// A part of a command.
#[derive(Clone, Copy)]
pub(super) enum Part<'p> {
    /// As it is.
    Text(&'p str),
    /// In decimal digits.
    Number(usize),
    /// In quotes, escaped.
    Quoted(&'p [u8]),
}

/// Writes a command, ended by CR LF.
pub(super) fn compose(command: &mut Command, parts: &[Part<'_>]) -> Result<(), ModemError> {
    command.clear();
    parts.iter().try_for_each(|part| add(command, *part)).map_err(|Full| ModemError::Unsendable)?;
    command.extend_from_slice(b"\r\n").map_err(|_| ModemError::Unsendable)
}

/// It does not fit, or cannot be sent at all.
struct Full;

fn add(command: &mut Command, part: Part<'_>) -> Result<(), Full> {
    match part {
        Part::Text(text) => command.extend_from_slice(text.as_bytes()).map_err(|_| Full),
        Part::Number(number) => write!(command, "{number}").map_err(|_| Full),
        Part::Quoted(bytes) => {
            command.push(b'"').map_err(|_| Full)?;
            for byte in bytes {
                match byte {
                    // They would end the command, and what follows would be another.
                    b'\r' | b'\n' | 0 => return Err(Full),
                    b'"' | b',' | b'\\' => command.extend_from_slice(&[b'\\', *byte]).map_err(|_| Full)?,
                    _ => command.push(*byte).map_err(|_| Full)?,
                }
            }
            command.push(b'"').map_err(|_| Full)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(parts: &[Part<'_>]) -> Result<Command, ModemError> {
        let mut command = Command::new();
        compose(&mut command, parts).map(|()| command)
    }

    #[test]
    fn texts_are_quoted_and_escaped() {
        let command = composed(&[
            Part::Text("AT+CWJAP="),
            Part::Quoted(b"a,b\"c\\d\xff"),
            Part::Text(","),
            Part::Number(65_535),
        ]);
        assert_eq!(command.unwrap(), b"AT+CWJAP=\"a\\,b\\\"c\\\\d\xff\",65535\r\n");
    }

    #[test]
    fn a_line_end_in_a_name_is_no_second_command() {
        for name in [b"a\r\nAT+RST", b"a\n1234567", b"a\x001234567"] {
            assert_eq!(composed(&[Part::Quoted(name)]), Err(ModemError::Unsendable));
        }
    }

    #[test]
    fn a_command_that_is_too_long_is_not_cut() {
        assert!(composed(&[Part::Quoted(&[b'x'; 252])]).is_ok());
        assert_eq!(composed(&[Part::Quoted(&[b'x'; 253])]), Err(ModemError::Unsendable));
        assert_eq!(composed(&[Part::Quoted(&[b','; 127])]), Err(ModemError::Unsendable));
        // The longest that the settings hold: a name and a password all of which must be escaped.
        let longest = [Part::Text("AT+CWJAP_CUR="), Part::Quoted(&[b','; 32]), Part::Quoted(&[b','; 64])];
        assert!(composed(&longest).is_ok());
    }
}
