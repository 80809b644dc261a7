//! What is searched for: names, keys and the words that values travel with. All of them at once, in one automaton, and across
//! the borders of packets, for which a search keeps one number.
//!
//! A key is never shown: what is found is told by its label.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;
use vitalwire_protocol::Channel;
use zeroize::Zeroizing;

use crate::error::NeedleError;

/// Bytes of all needles, at most: the automaton takes about 20 times as much memory.
const NEEDLES_LEN_MAX: usize = 4 << 20;
/// Of a key in any spelling this much is searched for: 64 bits at least, which no chance brings.
const KEY_LEN_MAX: usize = 16;
/// Up to so many names, short ones are no likely accident.
const NAMES_FEW: usize = 64;

/// Words of topics (PROTOCOL.md §3.1 and §3.2).
const TOPICS: [&str; 8] = [
    "Pico/",
    "vitalwire/v1/",
    "Physiological_Data",
    "Internal_Device_Data",
    "Internal_Server",
    "Pulse_Signal",
    "Accelerometer",
    "Temperature",
];
/// Keys of the JSON of readings (PROTOCOL.md §3.2).
const READING_KEYS: [&str; 4] =
    ["\"assurance\":", "\"device_time_ms\":", "\"uncertainty_ms\":", "\"interval_ms\":"];
/// Headers of HTTP that carry passwords.
const HEADERS: [&str; 2] = ["Authorization:", "authorization:"];

/// What a needle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeedleKind {
    /// The name of a device or user.
    Name,
    /// A link id, which may stand in a `ClientHello` as the identity of a pre-shared key, and nowhere else.
    LinkId,
    /// A key or something else that no one else may know.
    Key,
    /// A word of a topic.
    Topic,
    /// A key of the JSON text of a sample or reading.
    SampleKey,
    /// A header with a password.
    Login,
}

/// How bytes were come by, which says what can be there by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// They are said in the clear.
    Plain,
    /// They look random.
    Cipher,
    /// They are hexadecimal digits of what looks random.
    Digits,
}

struct Needle {
    kind: NeedleKind,
    label: String,
    bytes: Zeroizing<Vec<u8>>,
    is_digits: bool,
}

/// What to search for; [`Needles::general`] is the beginning.
pub struct Needles {
    needles: Vec<Needle>,
    len: usize,
    names: usize,
    keys: usize,
    links: usize,
}

impl Needles {
    /// The words of topics, samples, readings and logins, which need no registry.
    #[must_use]
    pub fn general() -> Self {
        let mut all = Self { needles: Vec::new(), len: 0, names: 0, keys: 0, links: 0 };
        for topic in TOPICS {
            all.add(NeedleKind::Topic, format!("`{topic}` of a topic"), topic.as_bytes());
        }
        for channel in Channel::ALL {
            let key = format!("\"{}\":", channel.json_key());
            all.add(NeedleKind::SampleKey, format!("`{key}` of a sample"), key.as_bytes());
        }
        for key in READING_KEYS {
            all.add(NeedleKind::SampleKey, format!("`{key}` of a reading"), key.as_bytes());
        }
        for header in HEADERS {
            all.add(
                NeedleKind::Login,
                format!("the header `{header}`, which carries a login"),
                header.as_bytes(),
            );
        }
        all
    }

    /// The name of something, such as `device` or `user`.
    pub fn name(&mut self, of: &str, name: &str) {
        self.names += 1;
        self.add(NeedleKind::Name, format!("the name of the {of} {name}"), name.as_bytes());
    }

    /// A patient's name, or notes. What is found of it is told without showing it.
    pub fn patient(&mut self, stay: u64, text: &str) {
        self.names += usize::from(!text.is_empty());
        self.add(NeedleKind::Name, format!("what is known of the patient of stay {stay}"), text.as_bytes());
    }

    /// The digits of a device's link id.
    pub fn link_id(&mut self, device: &str, digits: &[u8]) {
        self.links += 1;
        let digits = digits.get(..KEY_LEN_MAX).unwrap_or(digits);
        self.add(NeedleKind::LinkId, format!("a link id of {device}"), digits);
    }

    /// A key as it is, in hexadecimal digits and in Base64. `what` tells it without showing it, such as
    /// `the pre-shared key of bed_07`.
    pub fn key(&mut self, what: &str, key: &[u8]) {
        self.keys += 1;
        self.add(NeedleKind::Key, what.to_owned(), key);
        let hex = |digits: &[u8; 16]| {
            let digit = |value: u8| digits.get(usize::from(value & 15)).copied().unwrap_or_default();
            Zeroizing::new(key.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect::<Vec<_>>())
        };
        let (lower, upper) = (hex(b"0123456789abcdef"), hex(b"0123456789ABCDEF"));
        self.add(NeedleKind::Key, format!("{what}, in hexadecimal digits"), &lower);
        if upper != lower {
            self.add(NeedleKind::Key, format!("{what}, in hexadecimal digits"), &upper);
        }
        for offset in 0..3 {
            // The key behind `offset` other bytes: digits that depend on a neighbour are left out.
            let padded = Zeroizing::new([vec![0; offset].as_slice(), key].concat());
            let whole = (offset * 8).div_ceil(6)..padded.len() * 8 / 6;
            let whole = whole.start..whole.end.min(whole.start + KEY_LEN_MAX);
            let text = Zeroizing::new(STANDARD_NO_PAD.encode(padded.as_slice()));
            let text = text.as_bytes().get(whole.clone()).unwrap_or_default();
            self.add(NeedleKind::Key, format!("{what}, in Base64"), text);
            let other = Zeroizing::new(URL_SAFE_NO_PAD.encode(padded.as_slice()));
            let other = other.as_bytes().get(whole).unwrap_or_default();
            if other != text {
                self.add(NeedleKind::Key, format!("{what}, in Base64 for URLs"), other);
            }
        }
    }

    /// A password that is text, such as that of a device's own network.
    pub fn password(&mut self, what: &str, password: &str) {
        self.keys += 1;
        self.add(NeedleKind::Key, what.to_owned(), password.as_bytes());
    }

    fn add(&mut self, kind: NeedleKind, label: String, bytes: &[u8]) {
        let bytes = if kind == NeedleKind::Key { bytes.get(..KEY_LEN_MAX).unwrap_or(bytes) } else { bytes };
        if bytes.is_empty() {
            return;
        }
        let bytes = Zeroizing::new(bytes.to_vec());
        self.len += bytes.len();
        let is_digits = bytes.iter().all(u8::is_ascii_hexdigit);
        self.needles.push(Needle { kind, label, bytes, is_digits });
    }

    /// The shortest name that is searched for in the clear, and among bytes that look random: shorter ones would be found by
    /// chance. With 64 names of six letters that is once in 64 TB, with 20,000 of eight once in 900 TB.
    fn name_len_min(&self, zone: Zone) -> usize {
        match (zone, self.names <= NAMES_FEW) {
            (Zone::Plain, true) => 4,
            (Zone::Plain, false) | (Zone::Cipher | Zone::Digits, true) => 6,
            (Zone::Cipher | Zone::Digits, false) => 8,
        }
    }

    /// Builds the automaton.
    pub(crate) fn build(self) -> Result<Search, NeedleError> {
        let too_many = NeedleError::TooMany { len: self.len, max: NEEDLES_LEN_MAX };
        if self.len > NEEDLES_LEN_MAX {
            return Err(too_many);
        }
        let patterns = self.needles.iter().map(|needle| needle.bytes.as_slice());
        let Ok(automaton) = NFA::builder().match_kind(MatchKind::Standard).build(patterns) else {
            return Err(too_many);
        };
        let len_min = [Zone::Plain, Zone::Cipher, Zone::Digits].map(|zone| self.name_len_min(zone));
        Ok(Search {
            automaton,
            needles: self.needles,
            len_min,
            searched: (self.names, self.links, self.keys),
        })
    }
}

/// What was searched for, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Searched {
    /// Names of devices, users and patients, and notes.
    pub names: usize,
    /// Names that are so short that chance brings them: not searched at all.
    pub names_not_searched: usize,
    /// Names that are so short that they were searched in the clear only.
    pub names_searched_in_clear_only: usize,
    /// Link ids.
    pub link_ids: usize,
    /// Keys, each as it is, in hexadecimal digits and in Base64.
    pub keys: usize,
    /// The words that need no registry.
    pub words: Vec<String>,
}

/// The automaton.
pub(crate) struct Search {
    automaton: NFA,
    needles: Vec<Needle>,
    len_min: [usize; 3],
    searched: (usize, usize, usize),
}

/// Where a search of one direction stands.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place(Option<(StateID, ZoneKey)>);

type ZoneKey = u8;

/// A needle that was found; `end` counts from the beginning of the bytes that were searched.
pub(crate) struct Hit {
    pub(crate) needle: usize,
    pub(crate) kind: NeedleKind,
    pub(crate) end: usize,
    pub(crate) len: usize,
}

impl Search {
    /// Searches the next bytes. What comes of another zone begins afresh.
    pub(crate) fn scan(&self, place: &mut Place, zone: Zone, bytes: &[u8], mut found: impl FnMut(Hit)) {
        let key = zone as ZoneKey;
        let start =
            || self.automaton.start_state(Anchored::No).expect("it was built for both kinds of start");
        let mut state = match place.0 {
            Some((state, before)) if before == key => state,
            _ => start(),
        };
        for (index, byte) in bytes.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                for nth in 0..self.automaton.match_len(state) {
                    let needle = self.automaton.match_pattern(state, nth).as_usize();
                    if let Some(hit) = self.hit(needle, zone, index + 1) {
                        found(hit);
                    }
                }
            }
        }
        place.0 = Some((state, key));
    }

    fn hit(&self, index: usize, zone: Zone, end: usize) -> Option<Hit> {
        let needle = self.needles.get(index)?;
        let len = needle.bytes.len();
        let by_chance = match (needle.kind, zone) {
            (NeedleKind::Key | NeedleKind::LinkId, _) => false,
            // Each digit is one of 16 only.
            (_, Zone::Digits) if needle.is_digits && len < KEY_LEN_MAX => true,
            (_, zone) => len < self.len_min.get(zone as usize).copied().unwrap_or_default(),
        };
        (!by_chance).then_some(Hit { needle: index, kind: needle.kind, end, len })
    }

    pub(crate) fn label(&self, needle: usize) -> (NeedleKind, String) {
        let needle = self.needles.get(needle).expect("a hit names a needle of this search");
        (needle.kind, needle.label.clone())
    }

    pub(crate) fn searched(&self) -> Searched {
        let (names, link_ids, keys) = self.searched;
        let shorter = |len| {
            let is_short = |needle: &&Needle| needle.kind == NeedleKind::Name && needle.bytes.len() < len;
            self.needles.iter().filter(is_short).count()
        };
        let [plain, cipher, _] = self.len_min;
        let is_word = |needle: &&Needle| {
            matches!(needle.kind, NeedleKind::Topic | NeedleKind::SampleKey | NeedleKind::Login)
        };
        let text = |needle: &Needle| String::from_utf8_lossy(&needle.bytes).into_owned();
        Searched {
            names,
            names_not_searched: shorter(plain),
            names_searched_in_clear_only: shorter(cipher) - shorter(plain),
            link_ids,
            keys,
            words: self.needles.iter().filter(is_word).map(text).collect(),
        }
    }
}
