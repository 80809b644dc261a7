//! The form of names, topics, units and codes. It knows no terminology: a well-formed code may still not exist.

use crate::{NAME_LEN_MAX, TITLE_LEN_MAX, TOPIC_LEN_MAX, UNIT_LEN_MAX};

/// What the gateway itself publishes below `Pico/<id>/`.
const TOPICS_TAKEN: [&str; 3] = ["Ip_address", "Port_address", "Internal_Server"];

/// Levels of letters, digits, `_` and `-`, so that neither `+`, `#` nor `$` nor an empty level can occur.
fn is_path(text: &str) -> bool {
    let is_level = |level: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        !level.is_empty() && level.bytes().all(allowed)
    };
    text.split('/').all(is_level)
}

pub(crate) fn is_channel_name(text: &str) -> bool {
    text.len() <= NAME_LEN_MAX && is_path(text)
}

pub(crate) fn is_topic(text: &str) -> bool {
    text.len() <= TOPIC_LEN_MAX && is_path(text)
}

pub(crate) fn is_topic_free(text: &str) -> bool {
    text.split('/').next().is_none_or(|level| !TOPICS_TAKEN.contains(&level))
}

/// The alphabet of a profile's name; the batch protocol carries it.
pub(crate) fn is_profile_name(text: &str) -> bool {
    text.len() <= vitalwire_protocol::batch::PROFILE_NAME_LEN_MAX && is_path(text) && !text.contains('/')
}

pub(crate) fn is_title(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TITLE_LEN_MAX && !text.chars().any(char::is_control)
}

/// A UCUM code is ASCII without blanks (UCUM §2), its brackets in pairs and not nested in their own kind.
pub(crate) fn is_unit(text: &str) -> bool {
    let printable = text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
    (1..=UNIT_LEN_MAX).contains(&text.len()) && printable && brackets_pair(text)
}

fn brackets_pair(text: &str) -> bool {
    let mut open = Vec::new();
    for byte in text.bytes() {
        let closed_by = match byte {
            b'[' => b']',
            b'{' => b'}',
            b'(' => b')',
            b']' | b'}' | b')' if open.pop() == Some(byte) => continue,
            b']' | b'}' | b')' => return false,
            _ => continue,
        };
        open.push(closed_by);
    }
    open.is_empty()
}

/// One to seven digits, `-`, and the mod 10 check digit (LOINC Users' Guide, appendix on check digits).
pub(crate) fn is_loinc(text: &str) -> bool {
    let Some((number, check)) = text.split_once('-') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=7).contains(&number.len()) || check.len() != 1 || !digits(number) || !digits(check) {
        return false;
    }
    let sum: u32 = number
        .bytes()
        .rev()
        .map(|byte| u32::from(byte - b'0'))
        .enumerate()
        // Every other digit from the right counts twice, digit by digit.
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    check.parse() == Ok((10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loinc_code_has_its_check_digit() {
        for code in ["8310-5", "8867-4", "59408-5", "9279-1", "85354-9"] {
            assert!(is_loinc(code), "{code}");
        }
        for code in
            ["", "-", "8310", "8310-4", "8301-5", "8310-55", "8310-", "-5", "83a0-5", "12345678-4", "8310–5"]
        {
            assert!(!is_loinc(code), "{code}");
        }
    }

    #[test]
    fn a_unit_has_its_brackets_in_pairs() {
        for unit in ["Cel", "%", "/min", "[g]", "m/s2", "mm[Hg]", "1", "10*3/uL", "{beats}/min", "kg/(m.s)"] {
            assert!(is_unit(unit), "{unit}");
        }
        for unit in ["", "°C", "mm Hg", "[g", "g]", "[g)", "([)]", "a\n", &"m".repeat(33)] {
            assert!(!is_unit(unit), "{unit}");
        }
    }

    #[test]
    fn a_topic_has_plain_levels() {
        for topic in ["Temperature", "Physiological_Data/Accelerometer/x", "a-1/B_2"] {
            assert!(is_topic(topic) && is_topic_free(topic), "{topic}");
        }
        for topic in
            ["", "/a", "a/", "a//b", "+", "a/#", "$SYS", "$share/x", "a b", "\u{e4}", "a\0", &"t".repeat(129)]
        {
            assert!(!is_topic(topic), "{topic}");
        }
        for topic in ["Ip_address", "Port_address", "Internal_Server/Ip_address"] {
            assert!(!is_topic_free(topic), "{topic}");
        }
    }
}
