//! What one line of the modem says.

use super::event::{ANNOUNCED_LEN_MAX, Event, NetworkFacts};
use super::{LINKS_MAX, NETWORK_NAME_LEN_MAX};

/// Without the line end, and without noise before its text: a modem that starts sends its first bytes at another speed.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    let start = line.iter().position(u8::is_ascii_graphic).unwrap_or(line.len());
    line.get(start..).unwrap_or_default().trim_ascii_end()
}

/// The event of a whole, trimmed line.
pub(super) fn read(line: &[u8]) -> Event<'_> {
    match line {
        b"OK" => Event::Ok,
        b"ERROR" => Event::Error,
        b"FAIL" => Event::Fail,
        b"SEND OK" => Event::SendOk,
        b"SEND FAIL" => Event::SendFail,
        b"ready" => Event::Ready,
        b"ALREADY CONNECTED" | b"ALREADY CONNECT" => Event::AlreadyConnected,
        b"link is not valid" => Event::NoLink,
        b"DNS Fail" | b"DNS FAIL" => Event::NoSuchHost,
        b"no ip" => Event::NoAddress,
        b"WIFI GOT IP" => Event::WifiJoined,
        b"WIFI DISCONNECT" => Event::WifiLost,
        b"+CIPMUX:0" => Event::OneLink,
        [digit, b',', rest @ ..] => of_link(*digit, rest).unwrap_or(Event::Other),
        _ => with_value(line).unwrap_or(Event::Other),
    }
}

fn of_link(digit: u8, rest: &[u8]) -> Option<Event<'static>> {
    let link = number(&[digit]).and_then(|link| u8::try_from(link).ok())?;
    if usize::from(link) >= LINKS_MAX {
        return None;
    }
    match rest {
        b"CONNECT" => Some(Event::Connected { link }),
        b"CLOSED" | b"CONNECT FAIL" => Some(Event::Closed { link }),
        _ => None,
    }
}

fn with_value(line: &[u8]) -> Option<Event<'_>> {
    if line.starts_with(b"busy ") {
        return Some(Event::Busy);
    }
    if let Some(version) = line.strip_prefix(b"AT version:") {
        return core::str::from_utf8(version).ok().map(Event::Version);
    }
    if let Some(address) = line.strip_prefix(b"+CIFSR:STAIP,\"") {
        return core::str::from_utf8(address.strip_suffix(b"\"")?).ok().map(Event::Address);
    }
    if let Some(reason) = line.strip_prefix(b"+CWJAP:").or_else(|| line.strip_prefix(b"+CWJAP_CUR:")) {
        return u8::try_from(number(reason)?).ok().map(|reason| Event::NotJoined { reason });
    }
    network(line.strip_prefix(b"+CWLAP:(")?)
}

/// `ecn,"name",rssi,"mac",…)`. The name is sent as it is, so that it may hold quotes and commas; what follows it holds no
/// text but the address. So the name ends before the last `",number,"`.
fn network(line: &[u8]) -> Option<Event<'_>> {
    let (ecn, line) = split_once(line, b",\"")?;
    let name_len = line.windows(2).rposition(|pair| pair == b",\"")?;
    let (before, _) = line.split_at_checked(name_len)?;
    let quote = before.windows(2).rposition(|pair| pair == b"\",")?;
    let (name, rssi) = before.split_at_checked(quote)?;
    let rssi = core::str::from_utf8(rssi.get(2..)?).ok()?.parse::<i32>().ok()?;
    let rssi_dbm = i8::try_from(rssi.clamp(i8::MIN.into(), i8::MAX.into())).ok()?;
    let facts = NetworkFacts { rssi_dbm, secured: number(ecn)? != 0 };
    (name.len() <= NETWORK_NAME_LEN_MAX).then_some(Event::Network(name, facts))
}

/// Link and length of `+IPD,link,len` or `+IPD,link,len,address,port`, which a colon ended.
pub(super) fn announced(line: &[u8]) -> Option<(u8, usize)> {
    let mut parts = line.strip_prefix(b"+IPD,")?.split(|byte| *byte == b',');
    let (link, len) = (number(parts.next()?)?, number(parts.next()?)?);
    let len = usize::try_from(len).ok().filter(|len| (1..=ANNOUNCED_LEN_MAX).contains(len))?;
    Some((u8::try_from(link).ok()?, len))
}

fn number(digits: &[u8]) -> Option<u32> {
    // `parse` alone would take a sign.
    digits.iter().all(u8::is_ascii_digit).then_some(())?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

fn split_once<'l>(line: &'l [u8], by: &[u8; 2]) -> Option<(&'l [u8], &'l [u8])> {
    let at = line.windows(2).position(|pair| pair == by)?;
    Some((line.get(..at)?, line.get(at + 2..)?))
}
