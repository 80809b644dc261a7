//! JSON's grammar of a number (RFC 8259 §6), as a check. Rust's own parser is more lenient: `+1`, `.5`, `inf`.

/// Whether `text` is a number: `[-] int [frac] [exp]`, and nothing else.
pub(super) fn is_json_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    integer(text).and_then(fraction).and_then(exponent).is_some_and(<[u8]>::is_empty)
}

/// `0`, or digits that do not begin with `0`. Returns what follows.
fn integer(text: &[u8]) -> Option<&[u8]> {
    match text.strip_prefix(b"0") {
        Some(rest) => Some(rest),
        None => digits(text),
    }
}

fn fraction(text: &[u8]) -> Option<&[u8]> {
    match text.strip_prefix(b".") {
        Some(rest) => digits(rest),
        None => Some(text),
    }
}

fn exponent(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest),
        _ => Some(text),
    }
}

/// One digit or more. Returns what follows.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_rfc_8259_calls_a_number() {
        for text in ["0", "-0", "36.600", "-0.12", "1e5", "1E+5", "10.25e-3", "0.0", "120", "0e0"] {
            assert!(is_json_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            ".5",
            "1.",
            "1.e5",
            "1e",
            "1e+",
            "--1",
            "1 ",
            " 1",
            "0x10",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "-inf",
            "6.6.6.6&66",
            "1,5",
            "1_000",
            "1e5.5",
            "e5",
            "1f",
            "٣",
        ] {
            assert!(!is_json_number(text.as_bytes()), "{text}");
        }
    }
}
