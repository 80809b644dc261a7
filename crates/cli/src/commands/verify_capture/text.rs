//! The report for people, in 80 columns.

use std::fmt::Write as _;

use vitalwire_capture::{Finding, FlowReport, Report, Searched, TlsReport, Verdict};

use crate::output::{Output, OutputError};

const WIDTH: usize = 80;
/// Flows that are listed, those with something found first. `--json` has all.
const FLOWS_SHOWN: usize = 100;
/// Findings that are listed of a flow.
const FINDINGS_SHOWN: usize = 12;

pub(super) fn write(out: &mut Output<'_>, report: &Report) -> Result<(), OutputError> {
    let mut text = Text(String::new());
    text.head(report);
    let mut flows: Vec<_> = report.flows.iter().filter(|flow| flow.verdict != Verdict::Empty).collect();
    flows.sort_by_key(|flow| std::cmp::Reverse(flow.verdict));
    for flow in flows.iter().take(FLOWS_SHOWN) {
        text.flow(flow);
    }
    if let Some(more) = flows.len().checked_sub(FLOWS_SHOWN).filter(|more| *more > 0) {
        text.line("", &format!("and {more} more flows; --json lists all"));
    }
    text.others(report);
    text.summary(report);
    write!(out, "{}", text.0)
}

/// Lines that are broken between words.
struct Text(String);

impl Text {
    /// A line behind `start`, whose further lines are indented as far.
    fn line(&mut self, start: &str, words: &str) {
        let indent = start.chars().count();
        let mut column = indent;
        self.0.push_str(start);
        for word in words.split(' ') {
            let len = word.chars().count();
            if column > indent {
                if column + 1 + len > WIDTH {
                    write!(self.0, "\n{:indent$}", "").expect("a String takes all");
                    column = indent;
                } else {
                    self.0.push(' ');
                    column += 1;
                }
            }
            self.0.push_str(word);
            column += len;
        }
        self.0.push('\n');
    }

    fn head(&mut self, report: &Report) {
        let time = match (report.from, report.to) {
            (Some(from), Some(to)) => format!(" from {from} to {to}"),
            _ => String::new(),
        };
        self.line("", &format!("{}{time}.", counted(report.packets, "packet")));
        self.0.push('\n');
    }

    fn flow(&mut self, flow: &FlowReport) {
        let ends = format!("{} → {}", flow.client, flow.server);
        self.line(&format!("flow {}: ", flow.number), &format!("{ends} {}", word(flow.verdict)));
        let protocol = match &flow.tls {
            Some(tls) => agreed(tls),
            None => flow.protocol.clone(),
        };
        self.line("  ", &protocol);
        let missing = match flow.bytes_missing {
            0 => String::new(),
            len => format!("; {} NOT IN THE CAPTURE", counted(len, "byte")),
        };
        let (up, down) = (counted(flow.bytes_to_server, "byte"), counted(flow.bytes_from_server, "byte"));
        self.line("  ", &format!("{} to {}; {up} to the server, {down} back{missing}", flow.from, flow.to));
        for reason in &flow.reasons {
            self.line("  - ", &reason.text);
        }
        if flow.mqtt_messages > 0 {
            self.line("  - ", &format!("{} in the clear", counted(flow.mqtt_messages, "MQTT message")));
        }
        if flow.repeated_blocks > 0 {
            self.repeats(flow);
        }
        self.findings(&flow.findings);
        self.0.push('\n');
    }

    fn repeats(&mut self, flow: &FlowReport) {
        let places = flow.repeats.iter().map(|repeat| {
            let before = match repeat.before_flow == flow.number {
                true => format!("byte {}", repeat.before_at),
                false => format!("byte {} of flow {}", repeat.before_at, repeat.before_flow),
            };
            format!("byte {} {} is that at {before}", repeat.at, direction(repeat.to_server))
        });
        let places = places.collect::<Vec<_>>().join("; ");
        let count = counted(flow.repeated_blocks, "block");
        self.line("  - ", &format!("{count} of ciphertext had been there before: {places}"));
    }

    fn findings(&mut self, findings: &[Finding]) {
        for finding in findings.iter().take(FINDINGS_SHOWN) {
            let Finding { what, times, to_server, at, time, .. } = finding;
            let direction = direction(*to_server);
            let times = if *times == 1 { String::new() } else { format!(", {times} times, first") };
            self.line("  - ", &format!("found {what}{times} at byte {at} {direction}, {time}"));
        }
        if let Some(more) = findings.len().checked_sub(FINDINGS_SHOWN).filter(|more| *more > 0) {
            self.line("  - ", &format!("and {more} more; --json lists all"));
        }
    }

    fn others(&mut self, report: &Report) {
        let others = &report.others;
        for (count, what) in [
            (others.other, "neither TCP nor UDP: searched only"),
            (others.fragments, "fragments, which are not put together: searched only"),
            (others.unreadable, "damaged, or cut by the capture's snap length: searched only"),
            (others.left_out, "at other ports: left out"),
        ] {
            if count > 0 {
                self.line("", &format!("{}: {what}", counted(count, "packet")));
            }
        }
        self.findings(&others.findings);
    }

    fn summary(&mut self, report: &Report) {
        let count = |verdict| report.flows.iter().filter(|flow| flow.verdict == verdict).count();
        let [empty, encrypted, unproven, found] =
            [Verdict::Empty, Verdict::Encrypted, Verdict::Unproven, Verdict::Found].map(count);
        let flows = counted(report.flows.len() as u64, "flow");
        self.line(
            "",
            &format!(
                "{flows}: {encrypted} encrypted, {found} with something found, {unproven} not shown to be encrypted, \
                 {empty} without data."
            ),
        );
        self.searched(&report.searched);
        let verdict = match report.verdict {
            Verdict::Encrypted => "All of it was encrypted, and nothing was found.",
            Verdict::Found => "NOT all of it was encrypted.",
            Verdict::Unproven | Verdict::Empty => {
                "NOT SHOWN that all of it was encrypted; nothing was found."
            }
        };
        self.line("", verdict);
    }

    fn searched(&mut self, searched: &Searched) {
        let Searched { names, link_ids, keys, words, .. } = searched;
        let registry = match names + link_ids + keys {
            0 => " Without --data: no name and no key.".to_owned(),
            _ => format!(" Of the registry {names} names, {link_ids} link ids, {keys} keys."),
        };
        let words = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
        self.line("Searched for: ", &format!("{words}.{registry}"));
        if searched.names_not_searched > 0 {
            self.line(
                "Too short to tell from chance: ",
                &format!("{} (not searched)", counted(searched.names_not_searched as u64, "name")),
            );
        }
        if searched.names_searched_in_clear_only > 0 {
            let names = counted(searched.names_searched_in_clear_only as u64, "short name");
            self.line("Searched outside of ciphertext only: ", &names);
        }
        self.line(
            "Not searched for: ",
            "passwords, of which only hashes are stored; the master key; measured values.",
        );
    }
}

fn agreed(tls: &TlsReport) -> String {
    let key = if tls.pre_shared_key { "pre-shared key agreed" } else { "no pre-shared key" };
    let fresh = if tls.key_share { ", fresh key exchange" } else { "" };
    format!("{}, {}, {key}{fresh}", tls.version, tls.suite)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Empty => "no data",
        Verdict::Encrypted => "encrypted",
        Verdict::Unproven => "NOT SHOWN TO BE ENCRYPTED",
        Verdict::Found => "FOUND",
    }
}

fn direction(to_server: bool) -> &'static str {
    if to_server { "to the server" } else { "from the server" }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_indented() {
        let mut text = Text(String::new());
        text.line("  - ", &"twelve chars ".repeat(12));
        assert!(text.0.lines().all(|line| line.len() <= WIDTH));
        assert!(text.0.lines().skip(1).all(|line| line.starts_with("    t") || line.starts_with("    c")));
        assert_eq!(text.0.split_whitespace().count(), 25);
    }
}
