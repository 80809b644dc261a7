//! From a profile's text to a profile. Every rule is said with its line.

use std::ops::Range;

use toml::Spanned;
use vitalwire_protocol::batch::SCALE_MAX;

use crate::codes::{is_channel_name, is_loinc, is_profile_name, is_title, is_topic, is_topic_free, is_unit};
use crate::text::{ChannelText, ProfileText};
use crate::{
    CHANNELS_MAX, ChannelProfile, DECIMALS_MAX, PROFILE_TEXT_LEN_MAX, Profile, ProfileError, RATE_HZ_MAX,
    RATE_HZ_MIN, WAVE_RATE_HZ_MIN, Wave,
};

/// Ten to the power of the index: what the decimals of a channel multiply its values with.
const POWERS: [f64; SCALE_MAX as usize + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

pub(crate) fn profile(text: &str) -> Result<Profile, ProfileError> {
    if text.len() > PROFILE_TEXT_LEN_MAX {
        return Err(ProfileError::TooLong { len: text.len() });
    }
    let lines = Lines { text };
    let parsed: ProfileText = toml::from_str(text).map_err(|error| ProfileError::Syntax {
        line: lines.line(error.span().unwrap_or_default()),
        message: error.message().to_owned(),
    })?;
    let rule = "must be 1 to 32 letters, digits, `_` or `-`";
    lines.check(&parsed.name, "name", rule, |name| is_profile_name(name))?;
    lines.check(&parsed.title, "title", TITLE_RULE, |title| is_title(title))?;
    let count = parsed.channel.len();
    if !(1..=CHANNELS_MAX).contains(&count) {
        return Err(ProfileError::ChannelCount { count });
    }
    lines.check_unique("index", parsed.channel.iter().map(|channel| &channel.index))?;
    lines.check_unique("name", parsed.channel.iter().map(|channel| &channel.name))?;
    lines.check_unique("topic", parsed.channel.iter().filter_map(|channel| channel.topic.as_ref()))?;
    lines.check_one_wave(&parsed.channel)?;
    let channels: Result<Vec<_>, _> =
        parsed.channel.into_iter().map(|channel| lines.channel(channel)).collect();
    let mut channels = channels?;
    channels.sort_by_key(|channel| channel.index);
    Ok(Profile { name: parsed.name.into_inner(), title: parsed.title.into_inner(), channels })
}

const TITLE_RULE: &str = "must be 1 to 80 bytes of text without control characters";

/// The text, to find the line of a place in it.
struct Lines<'t> {
    text: &'t str,
}

impl Lines<'_> {
    /// Counted from 1.
    fn line(&self, span: Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
    }

    fn check<T>(
        &self,
        value: &Spanned<T>,
        field: &'static str,
        rule: &'static str,
        holds: impl FnOnce(&T) -> bool,
    ) -> Result<(), ProfileError> {
        if holds(value.get_ref()) {
            return Ok(());
        }
        Err(ProfileError::Field { line: self.line(value.span()), field, rule })
    }

    fn check_unique<'v, T: PartialEq + 'v>(
        &self,
        field: &'static str,
        values: impl Iterator<Item = &'v Spanned<T>>,
    ) -> Result<(), ProfileError> {
        let mut seen: Vec<&Spanned<T>> = Vec::new();
        for value in values {
            if let Some(first) = seen.iter().find(|first| first.get_ref() == value.get_ref()) {
                let (line, other_line) = (self.line(value.span()), self.line(first.span()));
                return Err(ProfileError::Duplicate { line, field, other_line });
            }
            seen.push(value);
        }
        Ok(())
    }

    /// A patient has one heart, and one channel says how it beats.
    fn check_one_wave(&self, channels: &[ChannelText]) -> Result<(), ProfileError> {
        let mut waves = channels.iter().filter_map(|channel| channel.wave.as_ref());
        match (waves.next(), waves.next()) {
            (Some(_), Some(second)) => {
                let rule = "must stand at one channel of the profile at most";
                Err(ProfileError::Field { line: self.line(second.span()), field: "wave", rule })
            }
            _ => Ok(()),
        }
    }

    fn channel(&self, text: ChannelText) -> Result<ChannelProfile, ProfileError> {
        self.check_names(&text)?;
        self.check_numbers(&text)?;
        self.check_codes(&text)?;
        let [minimum, maximum] = self.range(&text)?;
        let wave = self.wave(&text)?;
        Ok(ChannelProfile {
            index: text.index.into_inner(),
            name: text.name.into_inner(),
            title: text.title.into_inner(),
            topic: text.topic.map(Spanned::into_inner),
            unit: text.unit.into_inner(),
            minimum,
            maximum,
            rate_hz: text.rate_hz.into_inner(),
            decimals: text.decimals.into_inner(),
            loinc: text.loinc.map(Spanned::into_inner),
            mdc: text.mdc.map(Spanned::into_inner),
            waveform: text.waveform,
            wave,
        })
    }

    fn wave(&self, text: &ChannelText) -> Result<Option<Wave>, ProfileError> {
        let Some(wave) = &text.wave else { return Ok(None) };
        let refused = |rule| ProfileError::Field { line: self.line(wave.span()), field: "wave", rule };
        let kind = match wave.get_ref().as_str() {
            "ecg" => Wave::Ecg,
            "ppg" => Wave::Ppg,
            _ => return Err(refused("must be \"ecg\" or \"ppg\"")),
        };
        if !text.waveform {
            return Err(refused("needs `waveform = true`: beats are found in a curve"));
        }
        if *text.rate_hz.get_ref() < WAVE_RATE_HZ_MIN {
            return Err(refused("needs a `rate_hz` of at least 15: from fewer values no beats can be told"));
        }
        Ok(Some(kind))
    }

    fn check_names(&self, text: &ChannelText) -> Result<(), ProfileError> {
        let rule = "must be 1 to 64 letters, digits, `_` or `-`, in levels with `/` between them";
        self.check(&text.name, "name", rule, |name| is_channel_name(name))?;
        self.check(&text.title, "title", TITLE_RULE, |title| is_title(title))?;
        let Some(topic) = &text.topic else { return Ok(()) };
        let rule =
            "must be 1 to 128 letters, digits, `_` or `-`, in levels with `/` between them: no `+`, `#`, `$`";
        self.check(topic, "topic", rule, |topic| is_topic(topic))?;
        let rule =
            "must not begin with Ip_address, Port_address or Internal_Server: the gateway publishes there";
        self.check(topic, "topic", rule, |topic| is_topic_free(topic))
    }

    fn check_numbers(&self, text: &ChannelText) -> Result<(), ProfileError> {
        let fits = |index: &u8| usize::from(*index) < CHANNELS_MAX;
        self.check(&text.index, "index", "must be 0 to 31", fits)?;
        let fits = |rate_hz: &f64| (RATE_HZ_MIN..=RATE_HZ_MAX).contains(rate_hz);
        let rule = "must be at most 500, and at least one an hour (0.000278)";
        self.check(&text.rate_hz, "rate_hz", rule, fits)?;
        self.check(&text.decimals, "decimals", "must be 0 to 9", |decimals| *decimals <= DECIMALS_MAX)
    }

    /// Lowest and highest plausible value; `decimals` must have been checked.
    fn range(&self, text: &ChannelText) -> Result<[f64; 2], ProfileError> {
        let refused = |rule| ProfileError::Field { line: self.line(text.range.span()), field: "range", rule };
        let rule = "must be [lowest, highest] plausible value, finite and in order";
        let [minimum, maximum] = **text.range.get_ref() else { return Err(refused(rule)) };
        if !(minimum.is_finite() && maximum.is_finite() && minimum < maximum) {
            return Err(refused(rule));
        }
        let power = POWERS.get(usize::from(*text.decimals.get_ref())).copied().unwrap_or(f64::INFINITY);
        let fits = |limit: f64| (limit * power).abs() <= f64::from(i32::MAX);
        if fits(minimum) && fits(maximum) {
            return Ok([minimum, maximum]);
        }
        Err(refused("does not fit 32 bits with so many `decimals`: take fewer, or a larger unit"))
    }

    fn check_codes(&self, text: &ChannelText) -> Result<(), ProfileError> {
        let rule = "must be a UCUM code such as Cel, /min or mm[Hg]: 1 to 32 ASCII characters, no blanks; `1` if there is none";
        self.check(&text.unit, "unit", rule, |unit| is_unit(unit))?;
        if let Some(loinc) = &text.loinc {
            let rule = "must be a LOINC code such as 8867-4: look at the digits, the last one does not check";
            self.check(loinc, "loinc", rule, |loinc| is_loinc(loinc))?;
        }
        if let Some(mdc) = &text.mdc {
            let rule = "must be an ISO/IEEE 11073-10101 code with its partition, such as 150364: partition * 65536 + code";
            self.check(mdc, "mdc", rule, |mdc| *mdc > u32::from(u16::MAX))?;
        }
        Ok(())
    }
}
