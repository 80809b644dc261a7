//! What the modem does when it is told to: the commands that concern itself and its networks.

use super::command::Line;
use super::links::{self, News};
use super::machine::{Doing, Modem, Working};
use super::{AccessPoint, Fault, Firmware};

/// The modem's address on a network that it joined. There is no such network.
const STATION_ADDRESS: &str = "192.168.77.23";
const ACCESS_POINT_ADDRESS: &str = "192.168.4.1";
/// Bytes of a network's name, at most.
const NAME_LEN_MAX: usize = 32;

impl Modem {
    pub(super) async fn execute(&mut self, line: &Line) {
        match line.name.as_str() {
            "AT" => self.ok(),
            "ATE0" | "ATE1" => {
                self.is.silent_echo = line.name == "ATE0";
                self.ok();
            }
            "AT+RST" => {
                self.ok();
                self.restart();
            }
            "AT+GMR" => self.tell_version(),
            "AT+SYSSTORE" if self.surroundings.firmware == Firmware::At2 => {
                self.is.stores_nothing = line.number(0) == Some(0);
                self.ok();
            }
            // AT 2 has no such commands.
            _ if line.current_only && self.surroundings.firmware == Firmware::At2 => self.error(),
            "AT+CWMODE" => self.set_mode(line),
            "AT+CWLAP" if self.is.mode & 1 != 0 => self.begin(Doing::Scan),
            "AT+CWJAP" if self.is.mode & 1 != 0 => self.join(line),
            "AT+CWQAP" => {
                self.leave();
                self.ok();
            }
            "AT+CWSAP" if self.is.mode & 2 != 0 => self.open_access_point(line),
            "AT+CIFSR" => self.tell_addresses(),
            "AT+CIPMUX?" => {
                self.say(&format!("+CIPMUX:{}\r\n", u8::from(self.is.several_links)));
                self.ok();
            }
            "AT+CIPMUX" => self.set_several_links(line),
            "AT+CIPSTART" => self.open(line).await,
            "AT+CIPSEND" => self.prompt(line),
            "AT+CIPCLOSE" => self.close(line),
            "AT+CIPSERVER" => self.serve(line).await,
            _ => self.error(),
        }
    }

    /// What is set now goes to the modem's flash, too, unless it was told otherwise.
    fn store(&mut self, line: &Line) {
        self.counts.stored += u64::from(!line.current_only && !self.is.stores_nothing);
    }

    fn tell_version(&mut self) {
        self.say(match self.surroundings.firmware {
            Firmware::At1 => {
                "AT version:1.7.4.0(May 11 2020 19:13:04)\r\nSDK version:3.0.4(9532ceb)\r\n\
                 compile time:May 27 2020 10:12:17\r\nBin version(Wroom 02):1.7.4\r\n"
            }
            Firmware::At2 => {
                "AT version:2.2.1.0(4f13f12 - ESP8266 - Oct 14 2021 08:23:13)\r\n\
                 SDK version:v3.4-38-g0dcb2e1f\r\ncompile time(9b5a2c1):Oct 20 2021 06:27:14\r\n\
                 Bin version:2.2.1(WROOM-02)\r\n"
            }
        });
        self.ok();
    }

    fn set_mode(&mut self, line: &Line) {
        match line.number(0) {
            Some(mode @ 1..=3) => {
                self.store(line);
                self.is.mode = mode;
                if mode & 1 == 0 {
                    self.leave();
                }
                if mode & 2 == 0 {
                    self.cut_links(true);
                }
                self.ok();
            }
            _ => self.error(),
        }
    }

    fn open_access_point(&mut self, line: &Line) {
        let name = line.parameters.first().filter(|name| (1..=NAME_LEN_MAX).contains(&name.len()));
        let password = line.parameters.get(1).filter(|password| !password.is_empty());
        let fits = match line.number::<u8>(3) {
            Some(0) => true,
            Some(2..=4) => password.is_some_and(|password| (8..=64).contains(&password.len())),
            _ => false,
        };
        let stations_max = line.number(4).unwrap_or(4);
        match name {
            Some(name) if fits && (1..=4).contains(&stations_max) => {
                self.store(line);
                let password = password.filter(|_| line.number(3) != Some(0)).cloned();
                self.is.access_point = Some(AccessPoint { name: name.clone(), password, stations_max });
                self.ok();
            }
            _ => self.error(),
        }
    }

    fn join(&mut self, line: &Line) {
        match line.parameters.as_slice() {
            [name, password, ..] if (1..=NAME_LEN_MAX).contains(&name.len()) => {
                self.store(line);
                self.begin(Doing::Join { name: name.clone(), password: password.clone() });
            }
            _ => self.error(),
        }
    }

    /// A command that takes its time: it ends with the next news, as others must be able to come in between.
    pub(super) fn begin(&mut self, doing: Doing) {
        if self.fault.take() == Some(Fault::Hold) {
            self.is.working = Some(Working::Held(doing));
        } else {
            self.work(doing);
        }
    }

    pub(super) fn work(&mut self, doing: Doing) {
        let news = self.news.clone();
        let task = if let Doing::Connect { link, host, port } = &doing {
            let really = self.surroundings.hosts.get(&(host.clone(), *port));
            let to = really.copied().ok_or_else(|| (host.clone(), *port));
            links::start(links::connect(*link, to, self.surroundings.connect_time_max, news))
        } else {
            links::start(async move {
                // An error means that the modem is gone.
                let _gone = news.send(News::Ready).await;
            })
        };
        self.is.working = Some(Working::On { doing, _task: task });
    }

    pub(super) fn learn(&mut self, news: News) {
        match news {
            News::Data { link, id, bytes, from } => self.received(link, id, &bytes, from),
            News::Closed { link, id } => {
                let known = self.is.links.get_mut(link).and_then(|link| link.take_if(|link| link.id == id));
                if known.is_some() {
                    self.say(&format!("{link},CLOSED\r\n"));
                }
            }
            News::Incoming { stream, from } => self.incoming(stream, from),
            News::Connected { link, stream, known } => {
                // A restart may have come in between.
                if let Some(Working::On { doing: Doing::Connect { link: asked, .. }, .. }) = &self.is.working
                    && *asked == link
                {
                    self.is.working = None;
                    self.connected(link, stream, known);
                }
            }
            News::Ready => match self.is.working.take() {
                Some(Working::On { doing: Doing::Scan, .. }) => self.tell_networks(),
                Some(Working::On { doing: Doing::Join { name, password }, .. }) => {
                    self.joined(name, &password)
                }
                other => self.is.working = other,
            },
        }
    }

    fn tell_networks(&mut self) {
        for (at, network) in self.surroundings.networks.clone().into_iter().enumerate() {
            let ecn = if network.password.is_empty() { 0 } else { 3 };
            self.say(&format!("+CWLAP:({ecn},\""));
            self.say_bytes(&network.name);
            let rest = match self.surroundings.firmware {
                Firmware::At1 => "-12,0",
                Firmware::At2 => "-1,-1,4,4,7,1",
            };
            let (rssi, channel) = (network.rssi_dbm, at % 13 + 1);
            self.say(&format!("\",{rssi},\"02:00:00:00:00:{at:02x}\",{channel},{rest})\r\n"));
        }
        self.ok();
    }

    fn joined(&mut self, name: Vec<u8>, password: &[u8]) {
        self.leave();
        let known = self.surroundings.networks.iter().find(|network| network.name == name);
        let reason = match known {
            None => 3,
            Some(network) if !network.password.is_empty() && network.password.as_bytes() != password => 2,
            Some(_) => {
                self.is.joined = Some(name);
                self.say("WIFI CONNECTED\r\nWIFI GOT IP\r\n");
                return self.ok();
            }
        };
        self.say(&format!("+CWJAP:{reason}\r\n"));
        match self.surroundings.firmware {
            Firmware::At1 => self.say("\r\nFAIL\r\n"),
            Firmware::At2 => self.error(),
        }
    }

    /// The network may be gone.
    pub(super) fn look_for_network(&mut self) {
        let reachable =
            |name: &Vec<u8>| self.surroundings.networks.iter().any(|network| network.name == *name);
        if !self.is.joined.as_ref().is_none_or(reachable) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if self.is.joined.take().is_some() {
            self.say("WIFI DISCONNECT\r\n");
            self.cut_links(false);
        }
    }

    fn tell_addresses(&mut self) {
        if self.is.mode & 2 != 0 {
            self.say(&format!(
                "+CIFSR:APIP,\"{ACCESS_POINT_ADDRESS}\"\r\n+CIFSR:APMAC,\"02:00:00:00:01:00\"\r\n"
            ));
        }
        let station = if self.is.joined.is_some() { STATION_ADDRESS } else { "0.0.0.0" };
        self.say(&format!("+CIFSR:STAIP,\"{station}\"\r\n+CIFSR:STAMAC,\"02:00:00:00:02:00\"\r\n"));
        self.ok();
    }
}
