//! Names of devices and users. They become parts of MQTT topics and columns of tables, so their alphabet is checked once,
//! here, and a value of these types never holds `/`, `+`, `#`, a space or a control character.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a device or a user, in characters.
pub const NAME_LEN_MAX: usize = 64;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NameError {
    #[error("a name cannot be empty; use 1 to {NAME_LEN_MAX} of the characters A-Z a-z 0-9 _ -")]
    Empty,
    #[error("a name of {len} bytes is over the limit of {NAME_LEN_MAX}")]
    TooLong { len: usize },
    #[error(
        "character {character:?} at position {position} cannot stand in a name; use only A-Z a-z 0-9 _ -"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
}

fn check(text: &str) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(NameError::TooLong { len: text.len() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
        Some((before, character)) => Err(NameError::Character { character, position: before + 1 }),
        None => Ok(text.into()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        // Equality, order and hash are those of the text, as `Borrow` demands: maps can be asked with a `&str`.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name a device was enrolled under: 1 to 64 of `A-Z a-z 0-9 _ -`. Clones share the text.
    DeviceId
}
name_type! {
    /// The name a user logs in with: the alphabet of [`DeviceId`]. Clones share the text.
    UserName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_paper_id_and_the_limits_of_length() {
        for text in ["iot_med_dev_01", "a", "Z-9_", &"x".repeat(NAME_LEN_MAX)] {
            assert_eq!(text.parse::<DeviceId>().unwrap().as_str(), text);
            assert_eq!(text.parse::<UserName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_topic_characters_and_says_where() {
        for (text, character, position) in [
            ("a/b", '/', 2),
            ("+", '+', 1),
            ("dev#", '#', 4),
            ("a b", ' ', 2),
            ("é", 'é', 1),
            ("a\0", '\0', 2),
        ] {
            assert_eq!(text.parse::<DeviceId>(), Err(NameError::Character { character, position }));
        }
    }

    #[test]
    fn refuses_empty_and_too_long() {
        assert_eq!("".parse::<UserName>(), Err(NameError::Empty));
        assert_eq!("x".repeat(65).parse::<UserName>(), Err(NameError::TooLong { len: 65 }));
    }
}
