//! What is said of a setting in its row of the table.

use super::value::{Place, Unit};

pub(crate) struct Setting {
    /// Its place in the file: `section.name`, or `name` before the sections.
    pub(crate) key: &'static str,
    /// Its flag, where that is not the key with dashes.
    pub(super) flag: Option<&'static str>,
    pub(crate) unit: Unit,
    /// The least and greatest number.
    pub(super) least: u64,
    pub(super) most: u64,
    /// What it is. No full stop at the end.
    pub(crate) about: &'static str,
    /// What happens when it is reached; empty for what is no limit.
    pub(crate) at_limit: &'static str,
    /// What holds when it is not set.
    pub(crate) unset: &'static str,
    /// A value to show in the file where there is no default.
    pub(super) example: &'static str,
    pub(super) place: &'static dyn Place,
}

impl Setting {
    /// The section of the file, empty before the first.
    pub(crate) fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub(crate) fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Whether it is a limit that few will change: help pages leave it out.
    pub(crate) fn is_limit(&self) -> bool {
        self.flag.is_none()
    }

    pub(super) const fn unset(self, unset: &'static str, example: &'static str) -> Self {
        Self { unset, example, ..self }
    }

    pub(super) const fn measured(self, unit: Unit, at_limit: &'static str) -> Self {
        Self { unit, at_limit, ..self }
    }

    pub(super) const fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }
}

/// What people set.
pub(super) const fn setting(
    key: &'static str,
    flag: &'static str,
    about: &'static str,
    place: &'static dyn Place,
) -> Setting {
    let (unit, most) = (Unit::None, u64::MAX);
    let at_limit = "";
    Setting { key, flag: Some(flag), unit, least: 1, most, about, at_limit, unset: "", example: "", place }
}

/// A bound, and what happens at it.
pub(super) const fn limit(
    key: &'static str,
    unit: Unit,
    about: &'static str,
    at_limit: &'static str,
    place: &'static dyn Place,
) -> Setting {
    let most = u64::MAX;
    Setting { key, flag: None, unit, least: 1, most, about, at_limit, unset: "", example: "", place }
}
