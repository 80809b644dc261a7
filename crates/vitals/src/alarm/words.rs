//! Words that a person gives: who acknowledges, and why. They end in messages, on terminals and in the audit log.

/// Bytes of the longest name of a person.
pub const NAME_LEN_MAX: usize = 64;
/// Bytes of the longest reason.
pub const REASON_LEN_MAX: usize = 256;

/// Why words were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum WordsError {
    #[error("{what} is empty: write some words, or leave it out")]
    Empty { what: &'static str },
    #[error("{what} has {len} bytes, over the limit of {len_max}: say it shorter")]
    Long { what: &'static str, len: usize, len_max: usize },
    #[error("{what} has a character that cannot be shown, U+{:04X}: leave it out", u32::from(*character))]
    Control { what: &'static str, character: char },
}

/// Checks a person's name.
///
/// # Errors
/// It is empty, over [`NAME_LEN_MAX`], or has a character that steers a terminal or turns the direction of text.
pub fn check_name(name: &str) -> Result<(), WordsError> {
    check("the name", name, NAME_LEN_MAX)
}

/// Checks the reason of an acknowledgement.
///
/// # Errors
/// It is empty, over [`REASON_LEN_MAX`], or has a character that steers a terminal or turns the direction of text.
pub fn check_reason(reason: &str) -> Result<(), WordsError> {
    check("the reason", reason, REASON_LEN_MAX)
}

fn check(what: &'static str, words: &str, len_max: usize) -> Result<(), WordsError> {
    let len = words.len();
    if words.trim().is_empty() {
        Err(WordsError::Empty { what })
    } else if len > len_max {
        Err(WordsError::Long { what, len, len_max })
    } else if let Some(character) = words.chars().find(|character| hides(*character)) {
        Err(WordsError::Control { what, character })
    } else {
        Ok(())
    }
}

/// Control characters, line and paragraph separators, and marks that turn the direction of what follows.
fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_long_empty_and_hiding_words() {
        assert_eq!(check_reason("seen; probe slipped, 36.9 °C by ear"), Ok(()));
        assert_eq!(check_reason(&"ä".repeat(REASON_LEN_MAX / 2)), Ok(()));
        let long = check_reason(&"x".repeat(10 << 10));
        assert_eq!(
            long,
            Err(WordsError::Long { what: "the reason", len: 10 << 10, len_max: REASON_LEN_MAX })
        );
        assert_eq!(check_name(" \t"), Err(WordsError::Empty { what: "the name" }));
        for character in ['\u{1b}', '\n', '\0', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{feff}'] {
            let mut words = alloc::string::String::from("all is well");
            words.push(character);
            assert_eq!(check_reason(&words), Err(WordsError::Control { what: "the reason", character }));
        }
    }
}
