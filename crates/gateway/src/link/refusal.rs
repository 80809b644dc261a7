//! What a device is told of the fault that ends its connection (PROTOCOL.md §4.2.10).

use vitalwire_protocol::batch::{REFUSED_TEXT_LEN_MAX, Refused, refusal_code};

use crate::cause::Cause;

/// Bytes of the longest message that the server sends: a refusal, with its heads and numbers.
pub(super) const MESSAGE_LEN_MAX: usize = REFUSED_TEXT_LEN_MAX + 32;

/// Which batch is refused, and why. The one of a lower batch is the lower; one of no batch is the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refusal {
    pub(super) sequence: Option<u64>,
    pub(super) code: u16,
}

impl Refusal {
    /// Of a connection whose `Hello` was not accepted.
    pub(super) fn of_hello(cause: &Cause) -> Option<Self> {
        let code = match cause {
            Cause::Message(_) | Cause::OutOfTurn { .. } => refusal_code::BAD_MESSAGE,
            Cause::UnknownProfile(_) | Cause::ServersProfile(_) => refusal_code::UNKNOWN_PROFILE,
            Cause::BootUsedTwice { .. } => refusal_code::BOOT_USED_TWICE,
            _ => return None,
        };
        Some(Self { sequence: None, code })
    }

    /// The cause as people are told, as much of it as fits.
    pub(super) fn text(self, cause: &Cause) -> String {
        let mut text: String = cause.to_string().chars().filter(|char| !char.is_control()).collect();
        text.truncate(text.floor_char_boundary(REFUSED_TEXT_LEN_MAX));
        text
    }

    pub(super) fn message(self, text: &str) -> Refused<'_> {
        Refused { code: self.code, text, sequence: self.sequence }
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::batch::encode_refused;

    use super::*;

    #[test]
    fn the_longest_cause_fits_and_is_cut_at_a_character() {
        let refusal = Refusal { sequence: Some(u64::MAX >> 1), code: u16::MAX };
        for name in ["p".repeat(300), "é\n".repeat(300), format!("x{}", "é".repeat(300))] {
            let text = refusal.text(&Cause::UnknownProfile(name));
            assert!((127..=REFUSED_TEXT_LEN_MAX).contains(&text.len()), "{text}");
            let mut out = [0; MESSAGE_LEN_MAX];
            assert!(encode_refused(&refusal.message(&text), &mut out).is_ok());
        }
    }

    #[test]
    fn what_is_no_fault_of_the_device_refuses_nothing() {
        assert_eq!(Refusal::of_hello(&Cause::ClockSet), None);
        assert_eq!(Refusal::of_hello(&Cause::Closed { mid_message: true }), None);
    }
}
