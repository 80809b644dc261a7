//! Who may subscribe to what and publish where: a pure function of role and topic. It reads no clock, table or network.
//!
//! A filter is judged by its leading levels, which must be literal where a choice could widen it: whatever the rest
//! matches then lies inside what the role may see. `$share/<group>/` is taken off first.

use crate::{DeviceId, Role};

/// Root of the paper's topics, `Pico/<id>/…`.
const PICO: &str = "Pico";
/// Root of our topics, `vitalwire/<version>/<id>/…`.
const VITALWIRE: &str = "vitalwire";
/// What stands in a device's place in the topics of the server itself, `vitalwire/<version>/alarms`: of all devices, so only for who
/// sees all, also when a device has that name.
pub const OF_THE_SERVER: [&str; 3] = ["alarms", "escalation", "event"];

/// Whether the role may subscribe to the filter, also when a stored session brings it back.
#[must_use]
pub fn may_subscribe(role: &Role, filter: &str) -> bool {
    let Some(filter) = without_share(filter) else { return false };
    match role {
        // Not `$…`: nothing of ours lives there, and `#` does not reach it (MQTT 5 §4.7.2).
        Role::Admin => !filter.starts_with('$') && !filter.is_empty(),
        Role::Reader { .. } | Role::Clinician { .. } => reader_may_subscribe(role, filter),
    }
}

/// Whether the role may publish to the topic, also as its will.
#[must_use]
pub fn may_publish(role: &Role, topic: &str) -> bool {
    match role {
        Role::Reader { .. } | Role::Clinician { .. } => false,
        Role::Admin => {
            let root = topic.split('/').next().unwrap_or_default();
            // What lies below these roots comes from an authenticated device or from the gateway itself.
            !topic.is_empty() && root != PICO && root != VITALWIRE && !root.starts_with('$')
        }
    }
}

/// The filter without `$share/<group>/`, also when it is none.
#[must_use]
pub fn without_group(filter: &str) -> &str {
    without_share(filter).unwrap_or(filter)
}

/// Takes `$share/<group>/` off. `None` when the group or the filter behind it is missing.
fn without_share(filter: &str) -> Option<&str> {
    match filter.strip_prefix("$share/") {
        None => Some(filter),
        Some(rest) => rest
            .split_once('/')
            .filter(|(group, filter)| !group.is_empty() && !filter.is_empty())
            .map(|(_, f)| f),
    }
}

fn reader_may_subscribe(role: &Role, filter: &str) -> bool {
    let mut levels = filter.split('/');
    let (root, second, third) = (levels.next(), levels.next(), levels.next());
    let device = match root {
        Some(PICO) => second,
        Some(VITALWIRE) => third.filter(|level| !OF_THE_SERVER.contains(level)),
        _ => return false,
    };
    let version_is_literal = root == Some(PICO) || second.is_some_and(|level| level != "+" && level != "#");
    // A wildcard is never a device's name, so the name of a device that it sees is all that can match here.
    let sees = |id: &str| id.parse::<DeviceId>().is_ok_and(|id| role.sees(&id));
    role.sees_all() || (version_is_literal && device.is_some_and(sees))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    fn named() -> Role {
        let ids = ["dev_a", "dev_b"].map(|id| id.parse().unwrap());
        Role::Reader { devices: Scope::Named(ids.into()) }
    }

    const ALL: Role = Role::Reader { devices: Scope::All };

    /// filter, admin, reader of all, reader of dev_a and dev_b
    const SUBSCRIBE: [(&str, bool, bool, bool); 34] = [
        ("#", true, false, false),
        ("+/#", true, false, false),
        ("+", true, false, false),
        ("/#", true, false, false),
        ("", false, false, false),
        ("$SYS/#", false, false, false),
        ("$SYS/broker/clients", false, false, false),
        ("$share/g/#", true, false, false),
        ("$share/g/$SYS/#", false, false, false),
        ("$share/g/$share/h/Pico/#", false, false, false),
        ("$share/g", false, false, false),
        ("$share//Pico/#", false, false, false),
        ("$share/g/", false, false, false),
        ("$share/g/Pico/#", true, true, false),
        ("$share/g/Pico/dev_a/#", true, true, true),
        ("$share/g/Pico/dev_c/#", true, true, false),
        ("Pico", true, true, false),
        ("Pico/#", true, true, false),
        ("Pico/+/#", true, true, false),
        ("Pico/dev_a", true, true, true),
        ("Pico/dev_a/#", true, true, true),
        ("Pico/dev_a/+/Temperature", true, true, true),
        ("Pico/dev_c/#", true, true, false),
        ("Pico/dev_ab/#", true, true, false),
        ("pico/dev_a/#", true, false, false),
        ("Pico2/dev_a", true, false, false),
        ("vitalwire/#", true, true, false),
        ("vitalwire/v1/#", true, true, false),
        ("vitalwire/v1/dev_b/reading", true, true, true),
        ("vitalwire/+/dev_b/reading", true, true, false),
        ("vitalwire/v1/+/reading", true, true, false),
        ("vitalwire/dev_a/#", true, true, false),
        ("vitalwire/v1/dev_c/status", true, true, false),
        ("other/topic", true, false, false),
    ];

    #[test]
    fn subscriptions_stay_inside_the_role() {
        for (filter, admin, all, scoped) in SUBSCRIBE {
            assert_eq!(may_subscribe(&Role::Admin, filter), admin, "admin {filter}");
            assert_eq!(may_subscribe(&ALL, filter), all, "reader of all {filter}");
            assert_eq!(may_subscribe(&named(), filter), scoped, "reader of two {filter}");
            let clinician = |role: Role| Role::Clinician { devices: role.scope().clone() };
            assert_eq!(may_subscribe(&clinician(ALL), filter), all, "clinician of all {filter}");
            assert_eq!(may_subscribe(&clinician(named()), filter), scoped, "clinician of two {filter}");
        }
    }

    #[test]
    fn a_device_called_like_a_topic_of_the_server_opens_none_of_them() {
        let ids = OF_THE_SERVER.map(|id| id.parse().unwrap());
        let role = Role::Reader { devices: Scope::Named(ids.into()) };
        for id in OF_THE_SERVER {
            for filter in [format!("vitalwire/v1/{id}"), format!("vitalwire/v1/{id}/#")] {
                assert!(!may_subscribe(&role, &filter), "{filter}");
                assert!(may_subscribe(&ALL, &filter), "{filter}");
            }
            assert!(may_subscribe(&role, &format!("Pico/{id}/#")));
        }
    }

    #[test]
    fn a_reader_without_devices_sees_nothing() {
        let none = Role::Reader { devices: Scope::Named(std::collections::BTreeSet::new()) };
        for (filter, ..) in SUBSCRIBE {
            assert!(!may_subscribe(&none, filter), "{filter}");
        }
    }

    #[test]
    fn only_admins_publish_and_never_below_our_roots() {
        for (topic, admin) in [
            ("home/lamp", true),
            ("Pico2/x", true),
            ("Pico", false),
            ("Pico/dev_a/Physiological_Data/Temperature", false),
            ("vitalwire/v1/dev_a/status", false),
            ("vitalwire", false),
            ("$SYS/broker", false),
            ("$share/g/x", false),
            ("", false),
        ] {
            assert_eq!(may_publish(&Role::Admin, topic), admin, "{topic}");
            assert!(!may_publish(&ALL, topic) && !may_publish(&named(), topic), "{topic}");
            assert!(!may_publish(&Role::Clinician { devices: Scope::All }, topic), "{topic}");
        }
    }
}
