//! Passwords that are made here, for people to copy by hand.

use secrecy::SecretString;

/// Letters and digits that no one mistakes for one another, on paper or on the telephone.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP_LEN: usize = 5;

/// A password of 100 random bits from the system's generator, in groups that can be copied by hand.
#[must_use]
pub fn generate_password() -> SecretString {
    let group = || (0..GROUP_LEN).map(|_| letter(rand::random::<u8>())).collect::<String>();
    (0..GROUPS).map(|_| group()).collect::<Vec<_>>().join("-").into()
}

fn letter(random: u8) -> char {
    // 32 letters: the low five bits choose evenly.
    ALPHABET.get(usize::from(random & 31)).map_or('x', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn generated_password_has_four_groups_and_never_repeats() {
        let first = generate_password();
        let text = first.expose_secret();
        assert_eq!(text.len(), 23);
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
        assert_ne!(text, generate_password().expose_secret());
    }
}
