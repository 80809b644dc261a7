//! The commented vitalwire.toml: every setting with what it is, what happens at it, and its default.

use super::Values;
use super::setting::Setting;
use super::table::settings;

/// Columns of the file.
const WIDTH: usize = 80;

const HEAD: &str = "\
# Settings of `vitalwire serve`. Flags win over environment variables, those
# over this file; `vitalwire config show` lists a setting's flag and variable.
# Remove `#: ` to set a value; what is shown is the default, or an example.
# Unknown keys are refused. Paths are relative to this file.
";

/// The file.
pub(crate) fn template() -> String {
    let defaults = Values::default();
    let mut text = HEAD.to_owned();
    let mut section = "";
    for (setting, _) in settings() {
        if setting.section() != section {
            section = setting.section();
            text += &format!("\n[{section}]\n");
        }
        text += "\n";
        for line in wrap(&description(setting, &defaults), WIDTH - 2) {
            text += &format!("# {line}\n");
        }
        text += &format!("#: {} = {}\n", setting.name(), value(setting, &defaults));
    }
    text
}

fn description(setting: &Setting, defaults: &Values) -> String {
    let unit = match setting.unit.symbol() {
        "" => String::new(),
        unit => format!(" ({unit})"),
    };
    let at_limit = match setting.at_limit {
        "" => String::new(),
        at_limit => format!(" At it: {}.", lowercase(at_limit)),
    };
    let example = match setting.place.show(defaults, setting.unit) {
        Some(_) => String::new(),
        None => format!(" Default: {}. An example:", setting.unset),
    };
    format!("{}{unit}.{at_limit}{example}", setting.about)
}

fn value(setting: &Setting, defaults: &Values) -> String {
    let text = setting.place.show(defaults, setting.unit).unwrap_or_else(|| setting.example.to_owned());
    if setting.place.is_text() { format!("{text:?}") } else { text }
}

/// The sentence as it stands within another.
pub(crate) fn lowercase(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Lines of whole words that are at most so long.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
