//! What a key means: the paper's twelve choices by their numbers, the same by arrows, and letters for what the paper's menu
//! does not have. It decides, and changes the device only through [`Action::apply`].

use std::time::{Duration, Instant};

use crossterm::event::KeyCode;
use vitalwire_device::mode::Switch;
use vitalwire_simulator::desk::DeskHandle;
use vitalwire_simulator::hardware::{Adjustment, Axis, Direction, Sensor};

/// A lone `1` is taken for the first choice after so long: until then 10, 11 or 12 may follow.
const ENTRY_TIME_MAX: Duration = Duration::from_millis(1_200);

/// What can be raised and lowered, in the order of the paper's menu; its choices are 1 and 2 for the first, and so on.
pub(super) const ADJUSTABLE: [Adjustment; 7] = [
    Adjustment::Body,
    Adjustment::Mcu,
    Adjustment::Mpu,
    Adjustment::Acceleration(Axis::X),
    Adjustment::Acceleration(Axis::Y),
    Adjustment::Acceleration(Axis::Z),
    Adjustment::HeartRate,
];
/// Choices of the paper's menu.
const CHOICES: usize = 12;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Adjust(Adjustment, Direction),
    Unplug(Sensor),
    Arrhythmia,
    Network,
    Switch,
}

impl Action {
    /// The choice with this number of the paper's menu, from 1: odd ones raise, even ones lower.
    fn of_number(number: usize) -> Option<Self> {
        let place = number.checked_sub(1).filter(|place| *place < CHOICES)?;
        let direction = if place.is_multiple_of(2) { Direction::Up } else { Direction::Down };
        ADJUSTABLE.get(place / 2).map(|what| Self::Adjust(*what, direction))
    }

    /// Does it.
    pub(super) fn apply(self, desk: &DeskHandle) {
        let wearer = desk.wearer();
        match self {
            Self::Adjust(what, direction) => wearer.adjust(what, direction),
            Self::Unplug(sensor) => wearer.set_unplugged(sensor, !wearer.is_unplugged(sensor)),
            Self::Arrhythmia => wearer.set_arrhythmic(!wearer.knobs().is_arrhythmic),
            Self::Network => desk.set_network(!desk.has_network()),
            Self::Switch => desk.move_switch(match desk.switch() {
                Switch::Configuration => Switch::Collector,
                Switch::Collector | Switch::Between => Switch::Configuration,
            }),
        }
    }
}

/// Where the person is in the menu.
#[derive(Debug, Default)]
pub(super) struct Menu {
    /// The line that arrows change.
    pub(super) selected: usize,
    /// Since when a `1` waits for what follows.
    entry: Option<Instant>,
}

impl Menu {
    /// Whether a `1` waits for what follows.
    pub(super) fn has_entry(&self) -> bool {
        self.entry.is_some()
    }

    /// A `1` that was waited for long enough.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Action> {
        self.entry.take_if(|since| now.saturating_duration_since(*since) >= ENTRY_TIME_MAX)?;
        Action::of_number(1)
    }

    /// A key was pressed: at most two things follow, as it may end a lone `1`.
    pub(super) fn press(&mut self, key: KeyCode, now: Instant) -> Vec<Action> {
        let digit = match key {
            KeyCode::Char(letter) => letter.to_digit(10).and_then(|digit| usize::try_from(digit).ok()),
            _ => None,
        };
        let mut actions = Vec::new();
        match (self.entry.take(), digit) {
            (Some(_), Some(second @ 0..=2)) => {
                actions.extend(Action::of_number(10 + second));
                return actions;
            }
            (Some(_), _) => actions.extend(Action::of_number(1)),
            (None, _) => {}
        }
        match digit {
            Some(1) => self.entry = Some(now),
            Some(digit) => actions.extend(Action::of_number(digit)),
            None => actions.extend(self.named(key)),
        }
        actions
    }

    fn named(&mut self, key: KeyCode) -> Option<Action> {
        let selected = |direction| ADJUSTABLE.get(self.selected).map(|what| Action::Adjust(*what, direction));
        match key {
            KeyCode::Right | KeyCode::Char('+' | '=') => selected(Direction::Up),
            KeyCode::Left | KeyCode::Char('-') => selected(Direction::Down),
            KeyCode::Up => {
                self.selected = self.selected.saturating_sub(1);
                None
            }
            KeyCode::Down => {
                self.selected = (self.selected + 1).min(ADJUSTABLE.len() - 1);
                None
            }
            KeyCode::Char('a') => Some(Action::Arrhythmia),
            KeyCode::Char('t') => Some(Action::Unplug(Sensor::Temperature)),
            KeyCode::Char('p') => Some(Action::Unplug(Sensor::Pulse)),
            KeyCode::Char('m') => Some(Action::Unplug(Sensor::Movement)),
            KeyCode::Char('n') => Some(Action::Network),
            KeyCode::Char('s') => Some(Action::Switch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &str) -> Vec<Action> {
        let (mut menu, now) = (Menu::default(), Instant::now());
        let mut actions: Vec<_> =
            keys.chars().flat_map(|letter| menu.press(KeyCode::Char(letter), now)).collect();
        actions.extend(menu.settle(now + ENTRY_TIME_MAX));
        actions
    }

    #[test]
    fn the_papers_twelve_choices_have_their_numbers() {
        use Adjustment::{Acceleration, Body, Mcu, Mpu};
        use Direction::{Down, Up};
        let expected = [
            (Body, Up),
            (Body, Down),
            (Mcu, Up),
            (Mcu, Down),
            (Mpu, Up),
            (Mpu, Down),
            (Acceleration(Axis::X), Up),
            (Acceleration(Axis::X), Down),
            (Acceleration(Axis::Y), Up),
            (Acceleration(Axis::Y), Down),
            (Acceleration(Axis::Z), Up),
            (Acceleration(Axis::Z), Down),
        ];
        for (number, (what, direction)) in (1..).zip(expected) {
            assert_eq!(pressed(&number.to_string()), [Action::Adjust(what, direction)], "{number}");
        }
        assert_eq!(pressed("0"), []);
    }

    #[test]
    fn a_lone_1_waits_for_its_second_digit_and_not_for_ever() {
        let first = Action::of_number(1).unwrap();
        assert_eq!(pressed("13"), [first, Action::of_number(3).unwrap()]);
        assert_eq!(pressed("1n"), [first, Action::Network]);
        assert_eq!(pressed("111"), [Action::of_number(11).unwrap(), first]);
        let (mut menu, now) = (Menu::default(), Instant::now());
        assert_eq!(menu.press(KeyCode::Char('1'), now), []);
        assert_eq!(menu.settle(now + ENTRY_TIME_MAX / 2), None);
        assert!(menu.has_entry());
    }

    #[test]
    fn arrows_choose_a_line_and_change_it() {
        let (mut menu, now) = (Menu::default(), Instant::now());
        for _ in 0..20 {
            menu.press(KeyCode::Down, now);
        }
        let up = Action::Adjust(Adjustment::HeartRate, Direction::Up);
        assert_eq!(menu.press(KeyCode::Right, now), [up]);
        menu.press(KeyCode::Up, now);
        let down = Action::Adjust(Adjustment::Acceleration(Axis::Z), Direction::Down);
        assert_eq!(menu.press(KeyCode::Left, now), [down]);
    }

    #[test]
    fn letters_are_sensors_network_switch_and_arrhythmia() {
        let expected = [
            Action::Unplug(Sensor::Temperature),
            Action::Unplug(Sensor::Pulse),
            Action::Unplug(Sensor::Movement),
            Action::Network,
            Action::Switch,
            Action::Arrhythmia,
        ];
        assert_eq!(pressed("tpmnsax"), expected);
    }
}
