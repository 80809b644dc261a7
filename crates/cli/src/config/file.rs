//! The settings file as texts with the lines they stand on. Knows which keys there are, but not what they mean.

use std::path::Path;

use toml::de::{DeString, DeTable, DeValue};
use toml::{Spanned, de::Error};

use super::ConfigError;
use super::table::settings;

/// What the file says of one setting.
pub(super) struct Entry {
    /// Its place in the table.
    pub(super) index: usize,
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// Reads a settings file.
///
/// # Errors
/// When it cannot be read or is not TOML, or a key is unknown: a misspelt key must not be silently without effect.
pub(super) fn read(path: &Path) -> Result<(String, Vec<Entry>), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
    let entries = parse(&text, path)?;
    Ok((text, entries))
}

/// Reads the text of a settings file.
///
/// # Errors
/// As [`read`].
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let place = Place { text, path };
    let table = DeTable::parse(text).map_err(|error| place.syntax(&error))?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) if is_section(name.get_ref()) => {
                for (inner, value) in section {
                    entries.push(place.entry(name.get_ref(), inner, value)?);
                }
            }
            _ => entries.push(place.entry("", name, value)?),
        }
    }
    Ok(entries)
}

fn is_section(name: &str) -> bool {
    settings().any(|(setting, _)| setting.section() == name)
}

/// The file, for messages.
struct Place<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Place<'_> {
    fn entry(
        &self,
        section: &str,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Entry, ConfigError> {
        let found = settings()
            .position(|(setting, _)| setting.section() == section && setting.name() == name.get_ref());
        let Some(index) = found else { return Err(self.unknown(section, name)) };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
            DeValue::Boolean(value) => value.to_string(),
            _ => return Err(self.error(value.span().start, "want a text in quotes or a whole number".into())),
        };
        Ok(Entry { index, text, line: self.line(value.span().start) })
    }

    fn unknown(&self, section: &str, name: &Spanned<DeString<'_>>) -> ConfigError {
        let here = settings().filter(|(setting, _)| setting.section() == section);
        let known: Vec<_> = here.map(|(setting, _)| format!("`{}`", setting.name())).collect();
        let of = if section.is_empty() { String::new() } else { format!(" of [{section}]") };
        let name_text = name.get_ref();
        let reason = format!(
            "unknown field `{name_text}`{of}; there are {}. Correct the key or remove the line",
            known.join(", ")
        );
        self.error(name.span().start, reason)
    }

    fn syntax(&self, error: &Error) -> ConfigError {
        self.error(error.span().map_or(0, |span| span.start), error.message().to_owned())
    }

    fn error(&self, at: usize, reason: String) -> ConfigError {
        ConfigError::in_file(self.path, self.text, self.line(at), reason)
    }

    fn line(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).matches('\n').count() + 1
    }
}
