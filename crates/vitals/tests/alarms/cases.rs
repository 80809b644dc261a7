//! One case a rule.

use crate::script::check;

#[test]
fn limits_delays_and_hysteresis() {
    check(
        "an alarm after its delay, over when it is back by the hysteresis",
        "",
        "0 rate 80
         10 rate 121
         24 rate 121
         24.999999 rate 121
         25 rate 121 -> raised 1 rate-high medium
         26 rate 150
         27 rate 119
         28 rate 118 -> ended 1
         open -> ** HR 121 > 120
         29 ack 1 -> acknowledged 1, closed 1",
    );
    check(
        "at the limit is within it",
        "",
        "0 rate 120
         60 rate 120
         61 rate 50
         120 rate 50
         121 temp 38.5
         180 temp 38.5
         181 temp 35
         240 temp 35",
    );
    check(
        "a value in the hysteresis neither starts nor ends the delay, and does not raise",
        "",
        "0 rate 119
         20 rate 119
         30 rate 121
         40 rate 119
         45 rate 119
         46 rate 121 -> raised 1 rate-high medium",
    );
}

#[test]
fn limits_of_either_side() {
    check(
        "back for a moment begins the delay again",
        "",
        "0 rate 121
         10 rate 118
         11 rate 121
         25 rate 121
         26 rate 121 -> raised 1 rate-high medium",
    );
    check(
        "low ones likewise",
        "",
        "0 rate 49
         15 rate 49 -> raised 1 rate-low medium
         16 rate 51
         17 rate 52 -> ended 1
         20 temp 34.9
         35 temp 34.9 -> raised 2 temperature-low medium
         36 temp 35.1
         37 temp 35.2 -> ended 2
         40 temp 38.6
         55 temp 38.6 -> raised 3 temperature-high medium
         56 temp 38.31
         57 temp 38.3 -> ended 3",
    );
    check(
        "another delay",
        "delay-rate-high=0 delay-temperature-high=60",
        "0 rate 121 -> raised 1 rate-high medium
         0 temp 39
         59 temp 39
         60 temp 39 -> raised 2 temperature-high medium",
    );
    check(
        "what is no number is no value",
        "delay-rate-high=0",
        "0 rate NaN
         1 rate inf
         2 rate -inf
         3 temp NaN",
    );
}

#[test]
fn extreme_limits_make_it_high() {
    check(
        "extreme from the beginning",
        "",
        "0 rate 140
         15 rate 140 -> raised 1 rate-high high
         16 rate 100 -> ended 1
         open -> *** HR 140 > 120",
    );
    check(
        "extreme later, for a delay of its own, breaks through an acknowledgement",
        "",
        "0 rate 130
         10 rate 141
         15 rate 141 -> raised 1 rate-high medium
         16 ack 1 -> acknowledged 1
         24 rate 141
         25 rate 141 -> heightened 1 rate-high high
         26 ack 1 -> acknowledged 1
         27 rate 139
         28 rate 138 -> lowered 1 rate-high medium
         30 rate 145
         45 rate 145 -> heightened 1 rate-high high
         46 rate 138
         47 ack 1 -> acknowledged 1, lowered 1 rate-high medium",
    );
    check(
        "a slow heart",
        "",
        "0 rate 40
         15 rate 40 -> raised 1 rate-low high",
    );
}

#[test]
fn latching() {
    check(
        "high stays until someone knows, and is heard until then",
        "",
        "0 asystole yes -> raised 1 asystole high
         3 asystole no -> ended 1
         open -> *** Asystole
         audible -> high
         60 ack all -> acknowledged 1, closed 1
         open
         audible",
    );
    check(
        "a medium one that ended stays as a notice, and is not heard",
        "delay-temperature-high=0",
        "0 temp 39 -> raised 1 temperature-high medium
         audible -> medium
         3 temp 37 -> ended 1
         open -> ** Temp 39.0 > 38.5
         audible
         1000 ack 1 -> acknowledged 1, closed 1",
    );
    check(
        "low and technical ones do not stay",
        "delay-bad-signal=0 delay-device-offline=0",
        "0 bad-signal yes -> raised 1 bad-signal low
         1 bad-signal no -> ended 1, closed 1
         2 device-offline yes -> raised 2 device-offline medium
         3 device-offline no -> ended 2, closed 2",
    );
    check(
        "an acknowledged one leaves when it is over",
        "delay-rate-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         1 ack 1 -> acknowledged 1
         open -> ** HR 130 > 120
         audible
         2 ack 1
         3 rate 100 -> ended 1, closed 1",
    );
    check(
        "one that comes back is the same alarm, and calls again",
        "delay-rate-high=5",
        "0 rate 130
         5 rate 130 -> raised 1 rate-high medium
         6 rate 100 -> ended 1
         10 rate 130
         14 rate 130
         15 rate 150 -> returned 1 rate-high medium
         20 rate 150 -> heightened 1 rate-high high
         21 rate 100 -> ended 1
         22 rate 130
         27 rate 130 -> returned 1 rate-high high",
    );
}

#[test]
fn pauses() {
    check(
        "only what is more urgent breaks through; the rest is told when it ends",
        "delay-rate-high=0 delay-temperature-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         1 pause 120 -> paused
         state -> alarm-paused
         audible
         2 temp 39 -> raised 2 temperature-high medium silent
         3 asystole yes -> raised 3 asystole high
         audible -> high
         due -> 121
         120.999999 tick
         121 tick -> resumed, announced-again 2
         state -> on
         due -> 123",
    );
    check(
        "with nothing standing, low and medium are kept back",
        "delay-rate-high=0",
        "0 pause 10 -> paused
         1 rate 130 -> raised 1 rate-high medium silent
         5 resume -> resumed, announced-again 1
         6 resume",
    );
    check(
        "a high one keeps back high ones, and nothing is announced again or escalated meanwhile",
        "",
        "0 asystole yes -> raised 1 asystole high
         100 pause 120 -> paused
         120 tick
         150 tick
         due -> 220
         220 tick -> resumed, announced-again 1, escalated 1",
    );
}

#[test]
fn a_pause_keeps_back_nothing_for_ever() {
    check(
        "a high one that begins in such a pause is told at once, and lets all high ones through",
        "",
        "0 asystole yes -> raised 1 asystole high
         1 pause 120 -> paused
         audible
         2 rate 150
         17 rate 150 -> raised 2 rate-high high
         audible -> high
         120 tick -> announced-again 1
         121 tick -> resumed",
    );
    check(
        "so does one that comes back, or becomes high",
        "delay-rate-high=5",
        "0 asystole yes -> raised 1 asystole high
         1 asystole no -> ended 1
         2 rate 130
         7 rate 130 -> raised 2 rate-high medium
         8 pause 120 -> paused
         9 asystole yes -> returned 1 asystole high
         audible -> high
         10 ack 1 -> acknowledged 1
         11 rate 150
         16 rate 150 -> heightened 2 rate-high high
         audible -> high",
    );
    check(
        "a pause is renewed: what it kept back is told, and what is due is escalated",
        "delay-rate-high=0",
        "0 asystole yes -> raised 1 asystole high
         60 pause 120 -> paused
         70 rate 130 -> raised 2 rate-high medium silent
         170 pause 120 -> resumed, announced-again 2, announced-again 1, escalated 1, paused
         audible
         290 tick -> resumed, announced-again 1",
    );
}

#[test]
fn other_pauses() {
    check(
        "audio paused: told, but not heard",
        "delay-rate-high=0",
        "0 audio-pause 60 -> paused
         state -> audio-paused
         1 rate 130 -> raised 1 rate-high medium
         audible
         2 asystole yes -> raised 2 asystole high
         audible -> high
         60 tick -> resumed
         audible -> high",
    );
    check(
        "what ended in a pause and is no longer calling is not told",
        "delay-rate-high=0",
        "0 pause 60 -> paused
         1 rate 130 -> raised 1 rate-high medium silent
         2 rate 80 -> ended 1
         60 tick -> resumed
         open -> ** HR 130 > 120",
    );
}

#[test]
fn what_is_off() {
    check(
        "a condition that is turned off raises nothing, and one that stands ends",
        "delay-rate-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         1 limits delay-rate-high=0 off=rate-high -> ended 1
         2 ack 1 -> acknowledged 1, closed 1
         3 rate 131
         4 limits delay-rate-high=0
         5 rate 132 -> raised 2 rate-high medium",
    );
    check(
        "alarm off, audio off",
        "delay-rate-high=0",
        "0 limits delay-rate-high=0 signals=alarm-off
         state -> alarm-off
         1 rate 130
         2 device-offline yes
         20 tick
         21 limits delay-rate-high=0 signals=audio-off
         state -> audio-off
         22 rate 130 -> raised 1 device-offline medium, raised 2 rate-high medium
         audible
         23 pause 5 -> paused
         state -> alarm-paused
         28 tick -> resumed
         state -> audio-off",
    );
    check(
        "a turned off high alarm is latched all the same",
        "",
        "0 asystole yes -> raised 1 asystole high
         1 limits off=asystole -> ended 1
         audible -> high",
    );
}

#[test]
fn escalation() {
    check(
        "told again after two minutes, escalated half a minute later, told again every two minutes",
        "",
        "0 asystole yes -> raised 1 asystole high
         due -> 120
         119.999999 tick
         120 tick -> announced-again 1
         149.999999 tick
         due -> 150
         150 tick -> escalated 1
         due -> 240
         240 tick -> announced-again 1
         241 ack 1 -> acknowledged 1
         due
         1000 tick",
    );
    check(
        "medium ones are not",
        "delay-rate-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         due
         1000 tick",
    );
    check(
        "a long sleep tells once",
        "",
        "0 asystole yes -> raised 1 asystole high
         100000 tick -> announced-again 1, escalated 1",
    );
    check(
        "coming back gives no more time",
        "",
        "0 asystole yes -> raised 1 asystole high
         10 asystole no -> ended 1
         100 asystole yes -> returned 1 asystole high
         150 tick -> escalated 1
         220 tick -> announced-again 1",
    );
}

#[test]
fn technical_delays_count_by_the_servers_clock() {
    check(
        "offline",
        "",
        "0 device-offline yes
         due -> 10
         9.999999 tick
         10 tick -> raised 1 device-offline medium
         due
         20 device-offline no -> ended 1, closed 1
         21 device-offline yes
         25 device-offline no
         31 tick",
    );
    check("at once", "", "0 sensor-off yes -> raised 1 sensor-off medium");
}

#[test]
fn restarts() {
    check(
        "it stands again with its number; what lasts is not raised again, what is over ends",
        "",
        "0 rate 130
         15 rate 130 -> raised 1 rate-high medium
         15 asystole yes -> raised 2 asystole high
         16 restart
         open -> ** HR 130 > 120, *** Asystole
         20 rate 130
         21 asystole yes
         40 rate 130
         41 rate 100 -> ended 1
         42 asystole no -> ended 2
         43 ack all -> acknowledged 1, closed 1, acknowledged 2, closed 2",
    );
    check(
        "timers go on",
        "",
        "0 asystole yes -> raised 1 asystole high
         1 restart
         due -> 120
         2 restart
         130 tick -> announced-again 1
         131 restart
         due -> 150
         150 tick -> escalated 1
         151 restart
         due -> 250
         200 tick
         200 asystole no -> ended 1
         201 restart
         audible -> high",
    );
}

#[test]
fn what_a_restart_forgets_and_what_not() {
    check(
        "what waited for its delay waits again",
        "",
        "0 rate 130
         14 restart
         15 rate 130
         29 rate 130
         30 rate 130 -> raised 1 rate-high medium",
    );
    check(
        "a pause does not outlast it; what it kept back is told two minutes after it was raised at the latest",
        "",
        "0 asystole yes -> raised 1 asystole high
         1 ack 1 -> acknowledged 1
         2 pause 120 -> paused
         3 restart
         state -> on
         4 asystole no -> ended 1, closed 1",
    );
    check(
        "an acknowledged one stays acknowledged, a notice a notice",
        "delay-rate-high=0 delay-temperature-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         0 temp 39 -> raised 2 temperature-high medium
         1 ack 1 -> acknowledged 1
         2 temp 37 -> ended 2
         3 restart
         4 rate 130
         4 temp 37
         audible
         5 temp 39 -> returned 2 temperature-high medium
         6 rate 100 -> ended 1, closed 1",
    );
}

#[test]
fn clocks_that_are_set() {
    check(
        "the device's goes back: what lasted goes on lasting",
        "",
        "3600 rate 130
         3610 rate 130
         0 rate 130
         4 rate 130
         5 rate 130 -> raised 1 rate-high medium
         -3600 rate 130
         -3599 rate 100 -> ended 1",
    );
    check(
        "the device's goes forward by an hour: the delay begins again",
        "",
        "0 rate 130
         3600 rate 130
         3614 rate 130
         3615 rate 130 -> raised 1 rate-high medium",
    );
    check(
        "the server's goes back: what waits goes on from when the machine was last asked, and nothing comes twice",
        "",
        "3600 asystole yes -> raised 1 asystole high
         3601 device-offline yes
         3602 pause 120 -> paused
         3605 clock -3600
         3606 tick
         3614.999999 tick
         3615 tick -> raised 2 device-offline medium silent
         3725.999999 tick
         3726 tick -> resumed, announced-again 2, announced-again 1
         3754 tick -> escalated 1",
    );
    check(
        "the server's goes back while it is down",
        "",
        "3600 asystole yes -> raised 1 asystole high
         3601 restart
         3601 clock -7200
         3602 tick
         3721 tick
         3722 tick -> announced-again 1
         3752 tick -> escalated 1",
    );
    check(
        "the server's goes forward: people are told too soon rather than too late",
        "",
        "0 asystole yes -> raised 1 asystole high
         1 clock 86400
         2 tick -> announced-again 1, escalated 1",
    );
}

#[test]
fn a_rate_that_is_unknown() {
    check(
        "for ten seconds the delay goes on, after that it begins again",
        "",
        "0 rate 130
         5 unknown
         10 unknown
         15 rate 130 -> raised 1 rate-high medium
         20 unknown
         100 unknown
         open -> ** HR 130 > 120
         101 rate 130
         102 rate 100 -> ended 1
         103 ack all -> acknowledged 1, closed 1
         200 rate 130
         205 unknown
         211 unknown
         215 rate 130
         229 rate 130
         230 rate 130 -> raised 2 rate-high medium",
    );
}

#[test]
fn the_end_of_a_stay_closes_everything() {
    check(
        "all of them, whatever they are",
        "delay-rate-high=0",
        "0 rate 130 -> raised 1 rate-high medium
         0 asystole yes -> raised 2 asystole high
         0 pause 60 -> paused
         1 close -> closed 1, closed 2
         open
         state -> on
         2 rate 130 -> raised 3 rate-high medium",
    );
}

mod refusals {
    use vitalwire_vitals::alarm::{AskError, PauseKind, Step, Which};

    use crate::script::{Bed, DAY_US};

    #[test]
    fn what_a_person_asks_wrongly_changes_nothing() {
        let mut bed = Bed::new("delay-rate-high=0".parse().unwrap());
        bed.run(DAY_US, &["rate", "130"]);
        let mut changes = Vec::new();
        let mut step = Step { now_us: DAY_US, numbers: &mut bed.numbers, changes: &mut changes };
        let alarms = &mut bed.alarms;
        let long = "x".repeat(10 << 10);
        let ack = alarms.acknowledge(Which::Number(2), "nurse", None, &mut step);
        assert_eq!(ack, Err(AskError::NotOpen { number: 2 }));
        for reason in [long.as_str(), "a\u{1b}[2Jb", " ", "a\nb"] {
            let ack = alarms.acknowledge(Which::All, "nurse", Some(reason), &mut step);
            assert!(matches!(ack, Err(AskError::Words(_))), "{reason:.20}");
            assert!(alarms.acknowledge(Which::All, reason, None, &mut step).is_err());
            assert!(alarms.pause(PauseKind::Alarm, 10, reason, &mut step).is_err());
        }
        for seconds in [0, 121, u16::MAX] {
            let pause = alarms.pause(PauseKind::Audio, seconds, "nurse", &mut step);
            assert_eq!(pause, Err(AskError::Pause { seconds }));
        }
        assert_eq!(alarms.open().filter(|alarm| alarm.acknowledged.is_some()).count(), 0);
        assert_eq!((alarms.paused(), changes.len()), (None, 0));
    }
}
