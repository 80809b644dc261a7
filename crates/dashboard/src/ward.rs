//! What the dashboard knows of each device, kept up to date by what the server tells, and the messages that say so. It knows no
//! socket and no viewer, and reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use vitalwire_access::DeviceId;
use vitalwire_gateway::{AlarmList, Beats, Ends, Reading, WardSummary};

use crate::api;
use crate::border;
use crate::message::{self, Kind};
use crate::people::Who;

/// How long a measured value is the present one; of a slow channel, so many of its intervals.
const VALUE_AGE_US_MAX: i64 = 10_000_000;
const VALUE_INTERVALS: f64 = 3.0;
/// How long what the server derived is the present one. It comes once a second, or for a whole batch of up to 5 s at once.
const DERIVED_AGE_US_MAX: i64 = 6_000_000;

/// A message about one device, or about all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// Nothing: it is about all, and for who sees all.
    pub(crate) device: Option<DeviceId>,
    pub(crate) kind: Kind,
    pub(crate) n: u16,
    pub(crate) bytes: Bytes,
    /// Another patient has the device: what waits of the one before is not sent any more.
    pub(crate) is_handover: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ward {
    beds: BTreeMap<DeviceId, Bed>,
    /// A device that comes back has the number that it had.
    numbers: BTreeMap<DeviceId, u16>,
    summary: Option<Value>,
}

struct Bed {
    shown: api::Device,
    /// What was measured before is not of the stay that goes on.
    border_us: i64,
    /// By the channel's index.
    measured: BTreeMap<u8, Known>,
    derived: BTreeMap<String, Known>,
    /// What came last while no one looked: of the device, and of what was derived.
    unseen: [Option<Unseen>; 2],
    /// The values that were told last.
    told: Values,
    is_new: bool,
}

/// A reading, and when it came.
type Unseen = (Arc<Reading>, i64);

#[derive(Clone, Copy)]
struct Known {
    value: f64,
    time_us: i64,
    until_us: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Values {
    n: u16,
    time: Option<i64>,
    values: BTreeMap<String, f64>,
}

impl Told {
    fn of(device: &DeviceId, kind: Kind, n: u16, bytes: Bytes) -> Self {
        Self { device: Some(device.clone()), kind, n, bytes, is_handover: false }
    }
}

impl Ward {
    /// These devices are enrolled, and no others; `online` have a connection, with its ends.
    pub(crate) fn set_devices<'d>(
        &mut self,
        enrolled: impl Iterator<Item = &'d DeviceId>,
        online: &BTreeMap<DeviceId, Option<Ends>>,
    ) -> Vec<Told> {
        let enrolled: BTreeSet<&DeviceId> = enrolled.collect();
        let mut told = Vec::new();
        self.beds.retain(|id, bed| {
            let stays = enrolled.contains(id);
            if !stays {
                let n = bed.shown.n;
                told.push(Told::of(id, Kind::Gone, n, message::gone(n)));
            }
            stays
        });
        for id in enrolled {
            let (is_online, ends) = (online.contains_key(id), online.get(id).copied().flatten());
            match self.beds.get_mut(id) {
                Some(bed) => told.extend(bed.connect(is_online, ends).then(|| bed.device(id))),
                // There are numbers for 65,536 devices; later ones are not shown.
                None => told.extend(self.add(id, is_online, ends)),
            }
        }
        told
    }

    fn add(&mut self, id: &DeviceId, is_online: bool, ends: Option<Ends>) -> Option<Told> {
        let n = match self.numbers.get(id) {
            Some(n) => *n,
            None => u16::try_from(self.numbers.len()).ok()?,
        };
        self.numbers.insert(id.clone(), n);
        let mut bed = Bed::new(id, n);
        bed.connect(is_online, ends);
        let told = bed.device(id);
        self.beds.insert(id.clone(), bed);
        Some(told)
    }

    /// These stays go on. With another stay, nothing that is known is this patient's.
    pub(crate) fn set_people(&mut self, mut people: BTreeMap<DeviceId, Who>) -> Vec<Told> {
        let mut told = Vec::new();
        for (id, bed) in &mut self.beds {
            let Who { stay, patient, bed: place, border_us } = people.remove(id).unwrap_or_default();
            let is_handover = bed.shown.stay != stay;
            bed.border_us = border_us;
            if !is_handover && (&bed.shown.patient, &bed.shown.bed) == (&patient, &place) {
                continue;
            }
            (bed.shown.stay, bed.shown.patient, bed.shown.bed) = (stay, patient, place);
            if is_handover {
                bed.forget_measured();
            }
            told.push(Told { is_handover, ..bed.device(id) });
            if is_handover {
                told.push(bed.told_values(id));
            }
        }
        told
    }

    /// Who wears the devices now is not known; the stays may go on.
    pub(crate) fn hide_people(&mut self) -> Vec<Told> {
        let named = |(_, bed): &(&DeviceId, &mut Bed)| bed.shown.patient.is_some() || bed.shown.bed.is_some();
        let hidden = self.beds.iter_mut().filter(named).map(|(id, bed)| {
            (bed.shown.patient, bed.shown.bed) = (None, None);
            bed.device(id)
        });
        hidden.collect()
    }

    /// A device came or went.
    pub(crate) fn status(&mut self, id: &DeviceId, is_online: bool, ends: Option<Ends>) -> Option<Told> {
        let bed = self.beds.get_mut(id)?;
        bed.connect(is_online, ends);
        Some(bed.device(id))
    }

    /// The heart of who wears a device beat.
    pub(crate) fn beats(&self, beats: &Beats) -> Option<Told> {
        let bed = self.beds.get(&beats.device)?;
        let own = beats.times_us.iter().copied().filter(|time_us| *time_us >= bed.border_us);
        let own: Vec<i64> = own.collect();
        let n = bed.shown.n;
        (!own.is_empty()).then(|| Told::of(&beats.device, Kind::Beats, n, message::beats(n, &own)))
    }

    /// The same as [`Ward::reading`] while no one looks: it costs next to nothing, and [`Ward::catch_up`] does the work when someone does.
    pub(crate) fn keep(&mut self, reading: &Arc<Reading>, now_us: i64) {
        if let Some(bed) = self.beds.get_mut(reading.device()) {
            let [measured, derived] = &mut bed.unseen;
            let kept = if reading.is_derived() { derived } else { measured };
            *kept = Some((Arc::clone(reading), now_us));
        }
    }

    /// Learns what came while no one looked.
    pub(crate) fn catch_up(&mut self) {
        let unseen = |bed: &mut Bed| std::mem::take(&mut bed.unseen).into_iter().flatten();
        let unseen: Vec<_> = self.beds.values_mut().flat_map(unseen).collect();
        // No one is there whom the messages are for.
        for (reading, came_us) in unseen {
            self.reading(&reading, came_us);
        }
    }

    /// A device measured something, or the server derived something of it.
    pub(crate) fn reading(&mut self, reading: &Reading, now_us: i64) -> Vec<Told> {
        let id = reading.device();
        let Some(bed) = self.beds.get_mut(id) else { return Vec::new() };
        if reading.is_derived() {
            bed.derive(reading, now_us);
            return Vec::new();
        }
        let mut told = Vec::new();
        let profile = reading.profile();
        if bed.shown.profile.as_deref() != Some(profile.name()) {
            bed.shown.profile = Some(profile.name().to_owned());
            bed.shown.channels = profile.channels().iter().map(Into::into).collect();
            bed.measured.clear();
            told.push(bed.device(id));
        }
        let (n, border_us) = (bed.shown.n, bed.border_us);
        for series in border::series_from_on(reading, border_us) {
            if api::wave_name(series.channel).is_some() {
                told.push(Told::of(id, Kind::Wave, n, message::wave(n, &series)));
            }
            if let Some(value) = series.last() {
                bed.measure(series.channel, value, series.last_us());
            }
        }
        told
    }

    /// The open alarms of a patient.
    pub(crate) fn alarms(&mut self, list: &AlarmList) -> Option<Told> {
        let bed = self.beds.get_mut(&list.device)?;
        let shown = serde_json::from_str(&list.to_json()).ok();
        bed.shown.alarms = shown.clone().filter(|_| !list.is_empty());
        let n = bed.shown.n;
        let mut body = match shown {
            Some(Value::Object(fields)) => fields,
            // The list was taken away: nothing is open.
            _ => Map::from_iter([("alarms".to_owned(), Value::Array(Vec::new()))]),
        };
        body.insert("n".to_owned(), n.into());
        Some(Told::of(&list.device, Kind::Alarms, n, message::json(Kind::Alarms, &body)))
    }

    /// Only these patients have open alarms, or a pause.
    pub(crate) fn close_alarms(&mut self, open: &BTreeSet<DeviceId>) -> Vec<Told> {
        let over = |(id, bed): &(&DeviceId, &mut Bed)| bed.shown.alarms.is_some() && !open.contains(*id);
        let closed = self.beds.iter_mut().filter(over).map(|(id, bed)| {
            bed.shown.alarms = None;
            bed.device(id)
        });
        closed.collect()
    }

    /// The alarms of all, counted.
    pub(crate) fn summary(&mut self, summary: &WardSummary) -> Option<Told> {
        self.summary = serde_json::from_str(&summary.to_json()).ok();
        self.told_summary()
    }

    fn told_summary(&self) -> Option<Told> {
        let bytes = message::json(Kind::Ward, self.summary.as_ref()?);
        Some(Told { device: None, kind: Kind::Ward, n: 0, bytes, is_handover: false })
    }

    /// What is known now, where that is other than what was told.
    pub(crate) fn tick(&mut self, now_us: i64) -> Vec<Told> {
        self.beds.iter_mut().filter_map(|(id, bed)| bed.values(id, now_us)).collect()
    }

    /// All that a viewer who has just come must know, of the devices that `sees` lets through.
    pub(crate) fn all(&self, sees_all: bool, sees: impl Fn(&DeviceId) -> bool) -> Vec<Told> {
        let of_bed = |(id, bed): (&DeviceId, &Bed)| [bed.device(id), bed.told_values(id)];
        let beds = self.beds.iter().filter(|(id, _)| sees(id)).flat_map(of_bed);
        beds.chain(self.told_summary().filter(|_| sees_all)).collect()
    }

    /// A device, as it is shown.
    pub(crate) fn device(&self, id: &DeviceId) -> Option<&api::Device> {
        self.beds.get(id).map(|bed| &bed.shown)
    }

    /// All devices, as they are shown.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&DeviceId, &api::Device)> {
        self.beds.iter().map(|(id, bed)| (id, &bed.shown))
    }
}

impl Bed {
    fn new(id: &DeviceId, n: u16) -> Self {
        let shown = api::Device {
            n,
            id: id.to_string(),
            stay: None,
            patient: None,
            bed: None,
            profile: None,
            channels: Vec::new(),
            online: false,
            peer: None,
            local: None,
            last: None,
            alarms: None,
        };
        let told = Values { n, ..Values::default() };
        let (measured, derived, unseen) = (BTreeMap::new(), BTreeMap::new(), [None, None]);
        Self { shown, border_us: 0, measured, derived, unseen, told, is_new: false }
    }

    /// Whether that is news.
    fn connect(&mut self, is_online: bool, ends: Option<Ends>) -> bool {
        let peer = ends.map(|ends| ends.peer.to_string());
        let local = ends.and_then(|ends| ends.local).map(|local| local.to_string());
        let shown = &mut self.shown;
        let is_news = (shown.online, &shown.peer, &shown.local) != (is_online, &peer, &local);
        (shown.online, shown.peer, shown.local) = (is_online, peer, local);
        is_news
    }

    fn device(&self, id: &DeviceId) -> Told {
        Told::of(id, Kind::Device, self.shown.n, message::json(Kind::Device, &self.shown))
    }

    fn told_values(&self, id: &DeviceId) -> Told {
        Told::of(id, Kind::Values, self.shown.n, message::json(Kind::Values, &self.told))
    }

    fn forget_measured(&mut self) {
        self.measured.clear();
        self.derived.clear();
        self.unseen = [None, None];
        self.shown.last = None;
        self.told = Values { n: self.shown.n, ..Values::default() };
        self.is_new = false;
    }

    fn measure(&mut self, channel: &vitalwire_profile::ChannelProfile, value: f64, time_us: i64) {
        let slow = VALUE_INTERVALS * 1e6 / channel.rate_hz;
        #[expect(clippy::cast_possible_truncation, reason = "a conversion to i64 saturates")]
        let good_us = VALUE_AGE_US_MAX.max(slow as i64);
        let known = Known { value, time_us, until_us: time_us.saturating_add(good_us) };
        self.measured.insert(channel.index, known);
        let last = time_us.div_euclid(1_000);
        self.shown.last = Some(self.shown.last.map_or(last, |before| before.max(last)));
        self.is_new = true;
    }

    fn derive(&mut self, reading: &Reading, now_us: i64) {
        // All of it: a rate that is not there any more is not known.
        self.derived.clear();
        for series in border::series_from_on(reading, self.border_us) {
            let Some(value) = series.last() else { continue };
            let until_us = now_us.saturating_add(DERIVED_AGE_US_MAX);
            let known = Known { value, time_us: series.last_us(), until_us };
            self.derived.insert(series.channel.name.clone(), known);
        }
        self.is_new = true;
    }

    fn values(&mut self, id: &DeviceId, now_us: i64) -> Option<Told> {
        let channels = self.shown.channels.iter();
        let measured = channels.filter_map(|channel| Some((&channel.name, self.measured.get(&channel.i)?)));
        let known = measured.chain(&self.derived).filter(|(_, known)| known.until_us > now_us);
        let time_us = known.clone().map(|(_, known)| known.time_us).max();
        let values: BTreeMap<_, _> = known.map(|(name, known)| (name.clone(), known.value)).collect();
        let is_new = std::mem::take(&mut self.is_new);
        if !is_new && values.len() == self.told.values.len() {
            return None;
        }
        let n = self.shown.n;
        self.told = Values { n, time: time_us.map(|us| us.div_euclid(1_000)), values };
        Some(self.told_values(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> DeviceId {
        name.parse().unwrap()
    }

    fn ward(names: &[&str]) -> Ward {
        let mut ward = Ward::default();
        let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
        ward.set_devices(ids.iter(), &BTreeMap::new());
        ward
    }

    fn body(told: &Told) -> Value {
        serde_json::from_slice(&told.bytes[1..]).unwrap()
    }

    #[test]
    fn a_device_keeps_its_number_and_is_gone_when_it_is_revoked() {
        let mut ward = ward(&["a", "b"]);
        let none = BTreeMap::new();
        let told = ward.set_devices([id("b")].iter(), &none);
        assert_eq!(told.iter().map(|told| (told.kind, told.n)).collect::<Vec<_>>(), [(Kind::Gone, 0)]);
        assert!(ward.set_devices([id("b")].iter(), &none).is_empty(), "nothing is other");
        let told = ward.set_devices([id("a"), id("b"), id("c")].iter(), &none);
        let numbers: Vec<_> = told.iter().map(|told| (told.kind, told.n)).collect();
        assert_eq!(numbers, [(Kind::Device, 0), (Kind::Device, 2)]);
    }

    #[test]
    fn a_device_has_the_ends_of_its_connection_as_long_as_it_has_one() {
        let mut ward = ward(&["a"]);
        let ends = Ends { peer: "10.0.0.7:5000".parse().unwrap(), local: "10.0.0.1:9998".parse().ok() };
        let told = ward.status(&id("a"), true, Some(ends)).unwrap();
        assert_eq!(
            (&body(&told)["peer"], &body(&told)["local"]),
            (&"10.0.0.7:5000".into(), &"10.0.0.1:9998".into())
        );
        let online = BTreeMap::from([(id("a"), Some(ends))]);
        assert!(ward.set_devices([id("a")].iter(), &online).is_empty(), "nothing is other");
        let told = ward.set_devices([id("a")].iter(), &BTreeMap::new());
        assert_eq!((&body(&told[0])["online"], &body(&told[0])["peer"]), (&false.into(), &Value::Null));
    }

    #[test]
    fn a_value_is_known_for_its_time_and_its_end_is_told() {
        let mut ward = ward(&["a"]);
        let profile = vitalwire_profile::Profile::builtin("pico").unwrap();
        let temperature = profile.channel(0).unwrap();
        let bed = ward.beds.get_mut(&id("a")).unwrap();
        bed.shown.channels = vec![temperature.into()];
        bed.measure(temperature, 37.5, 1_000_000);
        let told = ward.tick(2_000_000);
        assert_eq!(body(&told[0])["values"]["Temperature"], 37.5);
        assert_eq!(body(&told[0])["time"], 1_000);
        assert!(ward.tick(10_999_999).is_empty(), "nothing is new");
        let told = ward.tick(11_000_000);
        assert_eq!(body(&told[0])["values"], serde_json::json!({}));
        assert_eq!(body(&told[0])["time"], Value::Null);
        assert!(ward.tick(12_000_000).is_empty());
    }

    #[test]
    fn with_another_stay_nothing_of_the_one_before_is_known() {
        let mut ward = ward(&["a"]);
        let who = |stay, name: &str| {
            let who = Who { stay: Some(stay), patient: Some(name.to_owned()), ..Who::default() };
            BTreeMap::from([(id("a"), who)])
        };
        ward.set_people(who(1, "Ana"));
        let profile = vitalwire_profile::Profile::builtin("pico").unwrap();
        let temperature = profile.channel(0).unwrap();
        let bed = ward.beds.get_mut(&id("a")).unwrap();
        bed.shown.channels = vec![temperature.into()];
        bed.measure(temperature, 39.5, 1_000_000);
        let known = Known { value: 140.0, time_us: 1_000_000, until_us: i64::MAX };
        bed.derived.insert("Pulse_Rate".to_owned(), known);
        ward.tick(2_000_000);
        let told = ward.set_people(who(1, "Anna"));
        assert_eq!(
            told.iter().map(|told| (told.kind, told.is_handover)).collect::<Vec<_>>(),
            [(Kind::Device, false)]
        );
        assert_eq!(body(&told[0])["last"], 1_000, "her name was wrong; she is the same");
        let told = ward.hide_people();
        assert_eq!((&body(&told[0])["patient"], &body(&told[0])["last"]), (&Value::Null, &1_000.into()));
        assert!(ward.hide_people().is_empty());
        let told = ward.set_people(who(2, "Bo"));
        let kinds: Vec<_> = told.iter().map(|told| (told.kind, told.is_handover)).collect();
        assert_eq!(kinds, [(Kind::Device, true), (Kind::Values, false)]);
        assert_eq!((&body(&told[0])["stay"], &body(&told[0])["last"]), (&2.into(), &Value::Null));
        assert_eq!(body(&told[1])["values"], serde_json::json!({}));
        assert!(ward.tick(2_000_000).is_empty());
        assert_eq!(body(&ward.all(true, |_| true)[1])["values"], serde_json::json!({}));
    }

    #[test]
    fn beats_from_before_a_stay_are_not_told() {
        let mut ward = ward(&["a"]);
        let who = Who { stay: Some(2), border_us: 2_000, ..Who::default() };
        ward.set_people(BTreeMap::from([(id("a"), who)]));
        let beats = |times_us: &[i64]| Beats { device: id("a"), times_us: times_us.to_vec() };
        let told = ward.beats(&beats(&[1_999, 2_000, 3_000])).unwrap();
        assert_eq!((told.kind, told.bytes.len()), (Kind::Beats, 3 + 2 * 8));
        assert!(ward.beats(&beats(&[1_000])).is_none());
        assert!(ward.beats(&Beats { device: id("b"), times_us: vec![5_000] }).is_none());
    }

    #[test]
    fn who_comes_later_gets_what_they_see() {
        let mut ward = ward(&["a", "b"]);
        let who = Who { patient: Some("<b>Ana</b>".to_owned()), ..Who::default() };
        let told = ward.set_people(BTreeMap::from([(id("a"), who)]));
        assert_eq!(body(&told[0])["patient"], "<b>Ana</b>");
        let told = ward.all(false, |device| device.as_str() == "a");
        let kinds: Vec<_> = told.iter().map(|told| (told.kind, told.n)).collect();
        assert_eq!(kinds, [(Kind::Device, 0), (Kind::Values, 0)]);
        assert!(ward.set_people(BTreeMap::new()).len() == 1, "the stay ended: no name is shown");
    }
}
