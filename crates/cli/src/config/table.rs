//! Every setting of `serve`, each described once: flag, variable, key in the file, help, `config show` and the commented
//! vitalwire.toml all come from here. A new setting is a field and a row.

mod alarms;
mod dashboard;
mod devices;
mod journal;
mod mqtt;

use std::sync::LazyLock;

use super::setting::Setting;

/// How a setting is called outside the file.
pub(crate) struct Names {
    /// Without its dashes.
    pub(crate) flag: String,
    pub(crate) variable: String,
}

static NAMES: LazyLock<Vec<Names>> = LazyLock::new(|| {
    let names = rows().map(|setting| {
        let flag = setting.flag.map_or_else(|| setting.key.replace(['.', '_'], "-"), str::to_owned);
        let variable = format!("VITALWIRE_{}", flag.replace('-', "_").to_uppercase());
        Names { flag, variable }
    });
    names.collect()
});

/// All settings, with their names.
pub(crate) fn settings() -> impl Iterator<Item = (&'static Setting, &'static Names)> {
    rows().zip(NAMES.iter())
}

/// Sections stay together: the file is written in this order.
fn rows() -> impl Iterator<Item = &'static Setting> {
    let before = devices::SETTINGS.iter().chain(mqtt::SETTINGS).chain(alarms::SETTINGS);
    before.chain(dashboard::SETTINGS).chain(journal::SETTINGS)
}
