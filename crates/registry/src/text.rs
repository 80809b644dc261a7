//! Texts that people write about a patient: one line each, of a bounded length, that cannot disturb a terminal or a log.

use crate::error::{RegistryError, Result};

/// The longest name of a patient, in bytes of UTF-8; a longer one is refused.
pub const PATIENT_NAME_LEN_MAX: usize = 128;
/// The longest name of a bed, in bytes; a longer one is refused.
pub const BED_LEN_MAX: usize = 64;
/// The longest notes about a patient, in bytes; longer ones are refused.
pub const NOTES_LEN_MAX: usize = 1_000;

/// Which text, and with that its longest length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// A patient's name.
    Name,
    /// A bed.
    Bed,
    /// Notes about a patient.
    Notes,
}

impl TextKind {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Name => "name of a patient",
            Self::Bed => "bed",
            Self::Notes => "note",
        }
    }

    /// The most bytes that it may have.
    pub(crate) fn len_max(self) -> usize {
        match self {
            Self::Name => PATIENT_NAME_LEN_MAX,
            Self::Bed => BED_LEN_MAX,
            Self::Notes => NOTES_LEN_MAX,
        }
    }
}

/// The text without blanks around it, if it may be kept.
///
/// # Errors
/// When it is too long, or holds what is no visible character of one line. The error does not show it.
pub(crate) fn checked(kind: TextKind, text: &str) -> Result<&str> {
    let text = text.trim();
    let (len, limit) = (text.len(), kind.len_max());
    if len > limit {
        return Err(RegistryError::TextTooLong { what: kind.name(), len, limit });
    }
    if text.chars().any(is_refused) {
        return Err(RegistryError::TextControl { what: kind.name() });
    }
    Ok(text)
}

/// Control characters, line and paragraph ends, and what turns the direction of the text around it: a name with such a
/// character could be shown as another one.
fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [TextKind; 3] = [TextKind::Name, TextKind::Bed, TextKind::Notes];

    #[test]
    fn texts_are_bounded_in_bytes() {
        for kind in KINDS {
            let longest = "x".repeat(kind.len_max());
            assert_eq!(checked(kind, &longest).unwrap(), longest);
            for long in [format!("{longest}x"), "é".repeat(kind.len_max() / 2 + 1), "x".repeat(10_240)] {
                let refused = checked(kind, &long).unwrap_err().to_string();
                assert!(
                    refused.contains(kind.name()) && refused.contains(&kind.len_max().to_string()),
                    "{refused}"
                );
                assert!(!refused.contains("xx"), "the text itself is not shown: {refused}");
            }
        }
    }

    #[test]
    fn what_disturbs_a_terminal_is_refused_wherever_it_stands() {
        for bad in
            ["\n", "\r", "\t", "\0", "\u{1b}[2J", "\u{7f}", "\u{9b}", "\u{2028}", "\u{202e}", "\u{2066}"]
        {
            for kind in KINDS {
                assert!(checked(kind, &format!("a{bad}b")).is_err(), "{bad:?}");
            }
        }
        assert_eq!(checked(TextKind::Name, "  Zoë O’Neill-Łuczak 李 \n").unwrap(), "Zoë O’Neill-Łuczak 李");
    }
}
