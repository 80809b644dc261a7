//! Who may subscribe to what and publish where, as Erlang terms. EMQX reads the file with `file:consult/1`, takes the first rule that
//! matches (`emqx_authz_rule`), and matches a filter that is subscribed to level by level: `+` and `#` of it match the same or a
//! wider wildcard of the rule alone, and a wildcard of the rule never a first level that begins with `$`. `$share/<group>/` it
//! takes off before.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use vitalwire_access::acl::OF_THE_SERVER;
use vitalwire_access::{DeviceId, Role as PersonRole, Scope, UserName};

use crate::text::erlang;
use crate::user::{Role, User};

const HEAD: &str = "%% Made by Vitalwire; `vitalwire emqx sync` replaces it. Rules of your own are lost.\n";
/// What only the gateway publishes, and every reader of all reads.
const OURS: [&str; 2] = ["Pico/#", "vitalwire/#"];

/// The text of the file that grants each user what its role grants it at the embedded broker (PROTOCOL.md §3.3).
#[must_use]
pub fn acl(users: &[User]) -> String {
    let mut text = HEAD.to_owned();
    for user in users {
        for (permission, action, filters) in rules(&user.role) {
            let filters: Vec<String> = filters.iter().map(|filter| erlang(filter)).collect();
            let who = who(&user.name);
            let _ = writeln!(text, "{{{permission}, {who}, {action}, [{}]}}.", filters.join(", "));
        }
    }
    text + "{deny, all}.\n"
}

type Rule = (&'static str, &'static str, Vec<String>);

fn rules(role: &Role) -> Vec<Rule> {
    let ours = || OURS.map(str::to_owned).to_vec();
    match role {
        Role::Gateway => vec![("allow", "publish", ours())],
        Role::Person(PersonRole::Admin) => {
            vec![("deny", "publish", ours()), ("allow", "all", vec!["#".to_owned()])]
        }
        Role::Person(PersonRole::Reader { devices } | PersonRole::Clinician { devices }) => match devices {
            Scope::All => vec![("allow", "subscribe", ours())],
            Scope::Named(devices) if devices.is_empty() => vec![],
            Scope::Named(devices) => {
                vec![("allow", "subscribe", devices.iter().flat_map(of_device).collect())]
            }
        },
    }
}

/// Below the root of ours a device may have the place of the server's own topics, which are of all devices.
fn of_device(id: &DeviceId) -> impl Iterator<Item = String> {
    let ours = (!OF_THE_SERVER.contains(&id.as_str())).then(|| format!("vitalwire/v1/{id}/#"));
    std::iter::once(format!("Pico/{id}/#")).chain(ours)
}

fn who(name: &UserName) -> String {
    format!("{{username, {}}}", erlang(name.as_str()))
}

/// Whose rules differ between two texts, as far as they are ours.
pub(crate) fn changed(before: &str, after: &str) -> BTreeSet<UserName> {
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), after.lines().collect());
    before.symmetric_difference(&after).filter_map(|line| whose(line)).collect()
}

fn whose(line: &str) -> Option<UserName> {
    let (_, rest) = line.split_once("{username, \"")?;
    rest.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::Verifier;

    fn user(name: &str, role: Role) -> User {
        let verifier = Verifier::from_digits(&"0".repeat(32), &"0".repeat(64)).unwrap();
        User { name: name.parse().unwrap(), role, verifier }
    }

    fn reader(name: &str, devices: &[&str]) -> User {
        let devices = Scope::Named(devices.iter().map(|id| id.parse().unwrap()).collect());
        user(name, Role::Person(PersonRole::Reader { devices }))
    }

    #[test]
    fn each_role_has_its_rules_and_all_else_is_denied() {
        let all = Role::Person(PersonRole::Reader { devices: Scope::All });
        let users = [
            user("gateway", Role::Gateway),
            user("admin", Role::Person(PersonRole::Admin)),
            user("nurse", all),
            reader("family", &["bed_07", "bed_08"]),
            reader("former", &[]),
            reader("odd", &["alarms"]),
            user("doctor", Role::Person(PersonRole::Clinician { devices: Scope::All })),
        ];
        assert_eq!(
            acl(&users).strip_prefix(HEAD).unwrap(),
            r##"{allow, {username, "gateway"}, publish, ["Pico/#", "vitalwire/#"]}.
{deny, {username, "admin"}, publish, ["Pico/#", "vitalwire/#"]}.
{allow, {username, "admin"}, all, ["#"]}.
{allow, {username, "nurse"}, subscribe, ["Pico/#", "vitalwire/#"]}.
{allow, {username, "family"}, subscribe, ["Pico/bed_07/#", "vitalwire/v1/bed_07/#", "Pico/bed_08/#", "vitalwire/v1/bed_08/#"]}.
{allow, {username, "odd"}, subscribe, ["Pico/alarms/#"]}.
{allow, {username, "doctor"}, subscribe, ["Pico/#", "vitalwire/#"]}.
{deny, all}.
"##
        );
    }

    #[test]
    fn a_change_concerns_who_gained_who_lost_and_no_one_else() {
        let before = acl(&[reader("a", &["x", "y"]), reader("b", &["x"]), reader("c", &["x"])]);
        let after = acl(&[reader("a", &["x"]), reader("b", &["x"]), reader("d", &["x"])]);
        let names =
            |text: &str| text.split(' ').map(|name| name.parse().unwrap()).collect::<BTreeSet<UserName>>();
        assert_eq!(changed(&before, &after), names("a c d"));
        assert_eq!(changed(&after, &after), BTreeSet::new());
        assert_eq!(changed("{allow, all}.\nnot ours", &after), names("a b d"));
    }
}
