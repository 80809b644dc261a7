//! How the value of a setting is read from text and shown again. Knows no setting.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitalwire_access::{Networks, Origins, Proxies};
use vitalwire_dashboard::{HostNames, Issuer, IssuerError};
use vitalwire_gateway::{WebHookUrl, WebHookUrlError};

use super::Values;
use crate::listen::Listen;
use crate::mqtt::MqttUrl;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Pieces, or no number at all.
    None,
    Milliseconds,
    Seconds,
    Days,
    Kibibytes,
    Mebibytes,
}

impl Unit {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Days => "days",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
        }
    }

    /// Milliseconds of one, for settings that are durations.
    fn milliseconds(self) -> u64 {
        match self {
            Self::Seconds => 1_000,
            Self::Days => 24 * 3_600 * 1_000,
            _ => 1,
        }
    }

    /// Bytes of one; other integers stand as they are.
    fn bytes(self) -> u64 {
        match self {
            Self::Kibibytes => 1 << 10,
            Self::Mebibytes => 1 << 20,
            _ => 1,
        }
    }
}

/// How a text is to be understood.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) unit: Unit,
    pub(super) least: u64,
    pub(super) most: u64,
    /// What paths are relative to.
    pub(super) folder: Option<&'a Path>,
}

/// A type that settings have.
pub(super) trait Value: Sized {
    /// Whether TOML quotes it.
    const IS_TEXT: bool;
    /// Whether it is several, with commas between them; its flag may then be given several times.
    const IS_LIST: bool = false;

    /// Reads it; the error says what is wanted and does not repeat the text.
    fn read(text: &str, reading: Reading<'_>) -> Result<Self, String>;

    /// The text that reads as this; none when it is not set.
    fn show(&self, unit: Unit) -> Option<String>;
}

/// A setting's place among the values, whatever its type.
pub(super) trait Place: Sync {
    fn is_text(&self) -> bool;
    fn is_list(&self) -> bool;
    fn set(&self, values: &mut Values, text: &str, reading: Reading<'_>) -> Result<(), String>;
    fn show(&self, values: &Values, unit: Unit) -> Option<String>;
}

/// The field that holds a setting.
pub(super) struct Field<T>(pub(super) fn(&mut Values) -> &mut T);

impl<T: Value> Place for Field<T> {
    fn is_text(&self) -> bool {
        T::IS_TEXT
    }

    fn is_list(&self) -> bool {
        T::IS_LIST
    }

    fn set(&self, values: &mut Values, text: &str, reading: Reading<'_>) -> Result<(), String> {
        *(self.0)(values) = T::read(text, reading)?;
        Ok(())
    }

    fn show(&self, values: &Values, unit: Unit) -> Option<String> {
        (self.0)(&mut values.clone()).show(unit)
    }
}

fn number(text: &str, reading: Reading<'_>, factor: u64) -> Result<u64, String> {
    let Reading { unit, least, most, .. } = reading;
    let number = text.trim().parse::<u64>().ok().filter(|number| (least..=most).contains(number));
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| {
        let unit = match unit {
            Unit::None => String::new(),
            unit => format!(" ({})", unit.symbol()),
        };
        match most {
            u64::MAX => format!("want a whole number{unit} of at least {least}"),
            _ => format!("want a whole number{unit} from {least} to {most}"),
        }
    })
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Value for $integer {
            const IS_TEXT: bool = false;

            fn read(text: &str, reading: Reading<'_>) -> Result<Self, String> {
                let number = number(text, reading, reading.unit.bytes())?;
                number.try_into().map_err(|_| format!("want at most {}", Self::MAX))
            }

            fn show(&self, unit: Unit) -> Option<String> {
                Some((self / Self::try_from(unit.bytes()).unwrap_or(1)).to_string())
            }
        }
    )*};
}

integers!(u16, u32, u64, usize);

impl Value for Duration {
    const IS_TEXT: bool = false;

    fn read(text: &str, reading: Reading<'_>) -> Result<Self, String> {
        number(text, reading, reading.unit.milliseconds()).map(Self::from_millis)
    }

    fn show(&self, unit: Unit) -> Option<String> {
        Some((self.as_millis() / u128::from(unit.milliseconds())).to_string())
    }
}

impl Value for SocketAddr {
    const IS_TEXT: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "want IP:PORT such as 127.0.0.1:9998 (port 0 lets the system choose)".to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Listen {
    const IS_TEXT: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "want IP:PORT such as 127.0.0.1:1883 (port 0 lets the system choose), or off".to_owned()
        })
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for PathBuf {
    const IS_TEXT: bool = true;

    fn read(text: &str, reading: Reading<'_>) -> Result<Self, String> {
        match text {
            "" => Err("want a path".to_owned()),
            _ => Ok(reading.folder.map_or_else(|| text.into(), |folder| folder.join(text))),
        }
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Value for MqttUrl {
    const IS_TEXT: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        // These messages do not repeat a password.
        text.parse().map_err(|error: crate::mqtt::MqttUrlError| error.to_string())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.with_user())
    }
}

const NETWORKS_WANTED: &str =
    "want addresses or networks with commas between them, such as 192.0.2.10, 10.1.0.0/16";

impl Value for Networks {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| NETWORKS_WANTED.to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Proxies {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| NETWORKS_WANTED.to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Origins {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "want web sites with commas between them, each as https://HOST or https://HOST:PORT".to_owned()
        })
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for bool {
    const IS_TEXT: bool = false;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| "want true or false".to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for HostNames {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|_| "want names with commas between them, each as HOST or HOST:PORT".to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Issuer {
    const IS_TEXT: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        text.parse().map_err(|error: IssuerError| error.to_string())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.to_string())
    }
}

/// Longest text, in bytes.
const TEXT_LEN_MAX: usize = 256;

/// Words, as someone else gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Value for Text {
    const IS_TEXT: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        let text = text.trim();
        let is_line = !text.is_empty() && text.len() <= TEXT_LEN_MAX && !text.contains(char::is_control);
        is_line
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("want 1 to {TEXT_LEN_MAX} bytes of text"))
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.0.clone())
    }
}

/// Most web hooks: each has a job of its own.
const WEB_HOOKS_MAX: usize = 8;

/// Addresses of web hooks.
impl Value for Vec<WebHookUrl> {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        let read = |url: &str| url.trim().parse().map_err(|error: WebHookUrlError| error.to_string());
        let urls = text.split(',').map(read).collect::<Result<Self, _>>()?;
        if urls.len() > WEB_HOOKS_MAX { Err(format!("want {WEB_HOOKS_MAX} at most")) } else { Ok(urls) }
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

/// Names and addresses of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hosts(pub(crate) BTreeSet<String>);

impl Value for Hosts {
    const IS_TEXT: bool = true;
    const IS_LIST: bool = true;

    fn read(text: &str, _: Reading<'_>) -> Result<Self, String> {
        let host = |host: &str| {
            let host = host.trim().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
            let is_host = !host.is_empty() && !host.contains(|sign: char| " /@*?#".contains(sign));
            is_host.then_some(host)
        };
        let hosts = text.split(',').map(host).collect::<Option<BTreeSet<_>>>();
        hosts
            .map(Self)
            .ok_or_else(|| "want hosts with commas between them, as they stand in the address".to_owned())
    }

    fn show(&self, _: Unit) -> Option<String> {
        Some(self.0.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

impl<T: Value> Value for Option<T> {
    const IS_TEXT: bool = T::IS_TEXT;
    const IS_LIST: bool = T::IS_LIST;

    fn read(text: &str, reading: Reading<'_>) -> Result<Self, String> {
        T::read(text, reading).map(Some)
    }

    fn show(&self, unit: Unit) -> Option<String> {
        self.as_ref().and_then(|value| value.show(unit))
    }
}
