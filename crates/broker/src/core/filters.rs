//! Who subscribes to what: a tree of topic levels (MQTT 5 §4.7). It knows sessions by their numbers only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A session's number in the core.
pub(crate) type SessionId = u32;

/// Levels that a filter may have. The tree is walked level by level.
pub(crate) const LEVELS_MAX: usize = 128;

/// A subscription as it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Subscription {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// The subscription identifier; zero for none.
    pub(crate) id: u32,
    /// What was logged before this position is not for it.
    pub(crate) since: u64,
    /// Nor what the archive's entries up to here have.
    pub(crate) since_entry: u64,
}

/// A session that gets what is published to a topic, once, with the best that its subscriptions were granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receiver {
    pub(crate) session: SessionId,
    pub(crate) qos: u8,
    pub(crate) retain_as_published: bool,
    pub(crate) no_local: bool,
    pub(crate) since: u64,
    pub(crate) since_entry: u64,
    pub(crate) ids: Option<Arc<[u32]>>,
}

/// The members of a shared subscription, of whom one gets each message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    pub(crate) members: Vec<Receiver>,
    pub(crate) next: usize,
}

type Entries = Vec<(SessionId, Subscription)>;

/// The subscriptions of one filter.
#[derive(Default)]
struct Place {
    each: Entries,
    groups: BTreeMap<Box<str>, Entries>,
}

#[derive(Default)]
struct Node {
    levels: HashMap<Box<str>, Self>,
    any: Option<Box<Self>>,
    here: Place,
    below: Place,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Filters(Node);

/// A filter taken apart: `$share/<group>/` and the rest (MQTT 5 §4.8.2).
pub(crate) fn parts(filter: &str) -> (Option<&str>, &str) {
    match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((group, filter)) => (Some(group), filter),
        None => (None, filter),
    }
}

/// Whether it is a filter, and not longer than we take.
pub(crate) fn is_filter(filter: &str) -> bool {
    let (group, filter) = parts(filter);
    let levels = filter.split('/').count();
    !filter.is_empty()
        && levels <= LEVELS_MAX
        && !filter.contains('\0')
        && !filter.starts_with("$share/")
        && group.is_none_or(|group| !group.is_empty() && !group.contains(['#', '+']))
        && filter.split('/').enumerate().all(|(at, level)| match level {
            "#" => at + 1 == levels,
            "+" => true,
            _ => !level.contains(['#', '+']),
        })
}

/// Whether something can be published there.
pub(crate) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['#', '+', '\0'])
}

/// Whether the filter matches the topic.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(of)) if level == of => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

impl Filters {
    /// What the session had been granted for this filter before.
    pub(crate) fn insert(
        &mut self,
        filter: &str,
        session: SessionId,
        granted: Subscription,
    ) -> Option<Subscription> {
        let (group, filter) = parts(filter);
        let entries = self.0.place(filter).entries(group);
        if let Some((_, old)) = entries.iter_mut().find(|(of, _)| *of == session) {
            return Some(std::mem::replace(old, granted));
        }
        entries.push((session, granted));
        None
    }

    pub(crate) fn remove(&mut self, filter: &str, session: SessionId) {
        let (group, filter) = parts(filter);
        self.0.remove(&filter.split('/').collect::<Vec<_>>(), group, session);
    }

    /// Finds each session once, in the order of their numbers, and every group.
    pub(crate) fn matching(&self, topic: &str, found: &mut Vec<Receiver>, groups: &mut Vec<Group>) {
        found.clear();
        groups.clear();
        let levels: Vec<&str> = topic.split('/').collect();
        walk(&self.0, &levels, topic.starts_with('$'), &mut |place| {
            found.extend(place.each.iter().map(receiver));
            for members in place.groups.values() {
                groups.push(Group { members: members.iter().map(receiver).collect(), next: 0 });
            }
        });
        found.sort_by_key(|receiver| receiver.session);
        found.dedup_by(|other, one| {
            let same = one.session == other.session;
            if same {
                merge(one, other);
            }
            same
        });
    }
}

fn receiver((session, granted): &(SessionId, Subscription)) -> Receiver {
    Receiver {
        session: *session,
        qos: granted.qos,
        retain_as_published: granted.retain_as_published,
        no_local: granted.no_local,
        // Nothing that was logged is for a subscription of QoS 0.
        since: if granted.qos > 0 { granted.since } else { u64::MAX },
        since_entry: if granted.qos > 0 { granted.since_entry } else { u64::MAX },
        ids: (granted.id > 0).then(|| [granted.id].into()),
    }
}

fn merge(one: &mut Receiver, other: &Receiver) {
    one.qos = one.qos.max(other.qos);
    one.retain_as_published |= other.retain_as_published;
    one.no_local &= other.no_local;
    one.since = one.since.min(other.since);
    one.since_entry = one.since_entry.min(other.since_entry);
    one.ids = match (one.ids.take(), &other.ids) {
        (Some(ids), Some(more)) => Some(ids.iter().chain(more.iter()).copied().collect()),
        (ids, more) => ids.or_else(|| more.clone()),
    };
}

impl Place {
    fn entries(&mut self, group: Option<&str>) -> &mut Entries {
        let Some(group) = group else { return &mut self.each };
        self.groups.entry(group.into()).or_default()
    }

    fn remove(&mut self, group: Option<&str>, session: SessionId) {
        self.entries(group).retain(|(of, _)| *of != session);
        self.groups.retain(|_, members| !members.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.each.is_empty() && self.groups.is_empty()
    }
}

impl Node {
    fn place(&mut self, filter: &str) -> &mut Place {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.below,
                "+" => node.any.get_or_insert_default(),
                _ => node.levels.entry(level.into()).or_default(),
            };
        }
        &mut node.here
    }

    fn remove(&mut self, levels: &[&str], group: Option<&str>, session: SessionId) {
        match levels.split_first() {
            None => self.here.remove(group, session),
            Some((&"#", _)) => self.below.remove(group, session),
            Some((&"+", rest)) => {
                if let Some(any) = &mut self.any {
                    any.remove(rest, group, session);
                    if any.is_empty() {
                        self.any = None;
                    }
                }
            }
            Some((level, rest)) => {
                if let Some(next) = self.levels.get_mut(*level) {
                    next.remove(rest, group, session);
                    if next.is_empty() {
                        self.levels.remove(*level);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.any.is_none() && self.here.is_empty() && self.below.is_empty()
    }
}

fn walk(node: &Node, levels: &[&str], is_dollar: bool, found: &mut impl FnMut(&Place)) {
    if !is_dollar {
        found(&node.below);
    }
    let Some((level, rest)) = levels.split_first() else {
        found(&node.here);
        return;
    };
    if let Some(next) = node.levels.get(*level) {
        walk(next, rest, false, found);
    }
    if let Some(any) = node.any.as_ref().filter(|_| !is_dollar) {
        walk(any, rest, false, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANTED: Subscription =
        Subscription { qos: 0, no_local: false, retain_as_published: false, id: 0, since: 0, since_entry: 0 };

    fn found(tree: &Filters, topic: &str) -> (Vec<Receiver>, Vec<Group>) {
        let (mut found, mut groups) = (Vec::new(), Vec::new());
        tree.matching(topic, &mut found, &mut groups);
        (found, groups)
    }

    #[test]
    fn the_tree_and_a_single_match_agree_and_nothing_stays_of_what_was_removed() {
        let filters =
            ["#", "+/#", "a", "a/#", "a/+", "a/+/c", "+/b/c", "a/b/c", "$SYS/#", "/#", "+", "a//c", "+/+"];
        let topics = ["a", "a/b", "a/b/c", "$SYS/x", "/a", "b", "a/x/c", "a//c", "x/b/c", "/"];
        let mut tree = Filters::default();
        for (session, filter) in (0..).zip(filters) {
            assert_eq!(tree.insert(filter, session, GRANTED), None);
        }
        for topic in topics {
            let found: Vec<_> =
                found(&tree, topic).0.iter().map(|found| filters[found.session as usize]).collect();
            let wanted: Vec<_> = filters.into_iter().filter(|filter| matches(filter, topic)).collect();
            assert_eq!(found, wanted, "{topic}");
        }
        for (session, filter) in (0..).zip(filters) {
            tree.remove(filter, session);
        }
        assert!(tree.0.is_empty());
    }

    #[test]
    fn filters_match_as_the_standard_says_character_by_character() {
        for (filter, topic, wanted) in [
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("a", "A", false),
            ("a", "a ", false),
            ("a", "/a", false),
            ("\u{e9}", "e\u{301}", false),
            ("\u{feff}a", "a", false),
        ] {
            assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
        }
    }

    #[test]
    fn overlapping_subscriptions_give_one_receiver_with_the_best_of_both() {
        let mut tree = Filters::default();
        tree.insert("a/#", 3, Subscription { qos: 1, no_local: true, id: 5, since: 9, ..GRANTED });
        tree.insert("a/b", 3, Subscription { qos: 2, retain_as_published: true, id: 6, since: 4, ..GRANTED });
        let (receivers, groups) = found(&tree, "a/b");
        assert!(groups.is_empty());
        let [receiver] = &receivers[..] else { panic!("{receivers:?}") };
        assert_eq!((receiver.qos, receiver.no_local, receiver.since), (2, false, 4));
        assert!(receiver.retain_as_published);
        let mut ids = receiver.ids.clone().unwrap().to_vec();
        ids.sort_unstable();
        assert_eq!(ids, [5, 6]);
    }

    #[test]
    fn a_group_is_a_name_and_a_filter() {
        let mut tree = Filters::default();
        for (session, filter) in [(1, "$share/g/a/#"), (2, "$share/g/a/#"), (3, "$share/g/a/b"), (4, "a/b")] {
            tree.insert(filter, session, GRANTED);
        }
        let (receivers, groups) = found(&tree, "a/b");
        assert_eq!(receivers.len(), 1);
        let mut members: Vec<Vec<_>> =
            groups.iter().map(|group| group.members.iter().map(|member| member.session).collect()).collect();
        members.sort();
        assert_eq!(members, [vec![1, 2], vec![3]]);
        tree.remove("$share/g/a/#", 1);
        tree.remove("$share/g/a/#", 2);
        assert_eq!(found(&tree, "a/b").1.len(), 1);
    }

    #[test]
    fn what_is_no_filter_or_topic_is_refused() {
        for filter in ["a", "/", "+", "#", "a/#", "+/+/b", "$share/g/a", "$share/g/+/#", " "] {
            assert!(is_filter(filter), "{filter}");
        }
        let deep = "a/".repeat(LEVELS_MAX);
        for filter in [
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+/b",
            "\0",
            "$share//a",
            "$share/g",
            "$share/g/",
            "$share/+/a",
            &deep,
        ] {
            assert!(!is_filter(filter), "{filter}");
        }
        for (topic, good) in
            [("a/b", true), ("$x", true), ("", false), ("a/+", false), ("#", false), ("\0", false)]
        {
            assert_eq!(is_topic(topic), good, "{topic}");
        }
    }
}
