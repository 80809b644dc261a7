//! How the device is: what it does now and what went wrong last. The LED shows it, the configuration page says it.

use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;

/// What the device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It has just started.
    Starting,
    /// Configuration Mode: it serves the configuration page.
    Configuring,
    /// It looks for its Wi-Fi network.
    Joining,
    /// It is on the network and connects to its server.
    Connecting,
    /// Its server takes its values.
    Delivering,
}

/// Why the device does not deliver. Each has a number that stays, as it is kept in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// The modem does not answer.
    Modem = 1,
    /// The modem sees no network of that name.
    WifiNotFound = 2,
    /// The network refused the password.
    WifiPassword = 3,
    /// Joining failed for another reason, or took too long.
    Wifi = 4,
    /// The server's name has no address, or nothing answers there.
    ServerUnreachable = 5,
    /// Something answers, and does not know this device with this key, or is no Vitalwire server.
    ServerRefuses = 6,
    /// The connection came and went: the server broke the protocol or fell silent.
    ServerSilent = 7,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Modem,
        Self::WifiNotFound,
        Self::WifiPassword,
        Self::Wifi,
        Self::ServerUnreachable,
        Self::ServerRefuses,
        Self::ServerSilent,
    ];

    /// The trouble with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| *trouble as u8 == number)
    }

    /// What a person reads on the configuration page.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Modem => "The Wi-Fi modem does not answer: check its wiring and its power",
            Self::WifiNotFound => "No Wi-Fi network of that name is in reach",
            Self::WifiPassword => "The Wi-Fi network refused the password",
            Self::Wifi => "Joining the Wi-Fi network failed",
            Self::ServerUnreachable => "Nothing answers at the server's address and port",
            Self::ServerRefuses => "The server does not know this device, or is no Vitalwire server",
            Self::ServerSilent => "The connection to the server was lost",
        }
    }
}

/// The present status, shared by all parts of the device.
#[derive(Debug)]
pub struct Status<M: RawMutex> {
    now: Mutex<M, Cell<(Activity, Option<Trouble>)>>,
}

impl<M: RawMutex> Default for Status<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: RawMutex> Status<M> {
    /// The device has just started.
    #[must_use]
    pub const fn new() -> Self {
        Self { now: Mutex::new(Cell::new((Activity::Starting, None))) }
    }

    /// What the device does.
    pub fn activity(&self) -> Activity {
        self.now.lock(Cell::get).0
    }

    /// What went wrong last, until it went right.
    pub fn trouble(&self) -> Option<Trouble> {
        self.now.lock(Cell::get).1
    }

    /// The device does something else now. Delivering ends all trouble.
    pub fn set_activity(&self, activity: Activity) {
        self.now.lock(|now| {
            let trouble = now.get().1.filter(|_| activity != Activity::Delivering);
            now.set((activity, trouble));
        });
    }

    /// Something went wrong.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.now.lock(|now| now.set((now.get().0, Some(trouble))));
    }
}
