//! Strings in the three languages of EMQX's files. What a language cannot say for certain is refused.

use std::fmt;

/// A text that cannot be written into one of EMQX's files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct Unwritable {
    /// Which text.
    pub what: &'static str,
    /// What is wrong with it; never the text itself, which may be a secret.
    pub problem: Problem,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is none.
    Empty,
    /// It holds this character.
    Character(char),
    /// It has another form than this.
    Form(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Character(character) => {
                write!(f, "holds {character:?}, which cannot stand in EMQX's files; choose another")
            }
            Self::Form(form) => write!(f, "must have the form {form}"),
        }
    }
}

/// Refuses an empty text, and one with a character for which `is_bad` holds.
fn check(what: &'static str, text: &str, is_bad: impl Fn(char) -> bool) -> Result<(), Unwritable> {
    let problem = match text.chars().find(|character| is_bad(*character)) {
        Some(character) => Problem::Character(character),
        None if text.is_empty() => Problem::Empty,
        None => return Ok(()),
    };
    Err(Unwritable { what, problem })
}

/// A quoted string of HOCON. EMQX's reader knows `\"` and `\\` of the escapes, but not `\u`, and takes no line end: what would need
/// that is refused. `$` and `#` mean nothing between quotes.
pub(crate) fn hocon(what: &'static str, text: &str) -> Result<String, Unwritable> {
    check(what, text, |character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))?;
    Ok(quoted(text))
}

/// A string of Erlang. Topics and names hold neither control characters nor quotes; they are escaped for all that.
pub(crate) fn erlang(text: &str) -> String {
    quoted(text)
}

/// Between quotes, with what ends or escapes a string escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// A field of the CSV that EMQX reads: it knows no quotes, takes blanks for commas and leaves empty fields out.
pub(crate) fn csv(what: &'static str, text: &str) -> Result<String, Unwritable> {
    check(what, text, |character| {
        character.is_control() || character.is_whitespace() || matches!(character, ',' | '"')
    })?;
    Ok(text.to_owned())
}

/// Half of a line `KEY:SECRET` of EMQX's file of API keys, and of a login by HTTP.
pub(crate) fn api_key(what: &'static str, text: &str) -> Result<String, Unwritable> {
    check(what, text, |character| !character.is_ascii_graphic() || character == ':')?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a quoted string back by the rules of EMQX's scanner; `None` when it would end early or not at all.
    fn read(quoted: &str) -> Option<String> {
        let mut text = String::new();
        let mut characters = quoted.strip_prefix('"')?.chars();
        loop {
            match characters.next()? {
                '"' => return characters.next().is_none().then_some(text),
                '\\' => text.push(characters.next().filter(|character| matches!(character, '"' | '\\'))?),
                '\n' | '\r' => return None,
                character => text.push(character),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_in_quotes_is_read_back(text in any::<String>()) {
            if let Ok(written) = hocon("it", &text) {
                prop_assert_eq!(read(&written), Some(text.clone()));
            }
            if !text.contains(['\n', '\r']) {
                prop_assert_eq!(read(&erlang(&text)), Some(text));
            }
        }

        #[test]
        fn a_field_is_one_field_of_one_line(text in any::<String>()) {
            if let Ok(field) = csv("it", &text) {
                let line = format!("a,{field},b");
                let fields: Vec<&str> = line.split([',', ' ', '\n', '\r']).filter(|f| !f.is_empty()).collect();
                prop_assert_eq!(fields, vec!["a", text.as_str(), "b"]);
            }
        }

        #[test]
        fn printable_secrets_can_be_written(text in "[!-~äß€ ]{1,40}") {
            prop_assert!(hocon("it", &text).is_ok());
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_without_showing_it() {
        for (text, problem) in [
            ("", Problem::Empty),
            ("a\nb", Problem::Character('\n')),
            ("a\0", Problem::Character('\0')),
            ("a\u{2028}", Problem::Character('\u{2028}')),
        ] {
            assert_eq!(hocon("the cookie", text), Err(Unwritable { what: "the cookie", problem }));
        }
        for text in ["", "a b", "a,b", "a\"b", "a\tb", "a\u{a0}b"] {
            assert!(csv("it", text).is_err(), "{text:?}");
        }
        for text in ["", "a:b", "a b", "ä"] {
            assert!(api_key("it", text).is_err(), "{text:?}");
        }
        let message = hocon("the cookie", "geheim\n").unwrap_err().to_string();
        assert!(message.contains("the cookie holds '\\n'") && !message.contains("geheim"), "{message}");
    }
}
