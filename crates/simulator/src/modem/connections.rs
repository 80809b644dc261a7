//! What the modem does when it is told to: the commands that concern its links, and what comes on them.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::command::Line;
use super::links::{self, Link};
use super::machine::{Doing, Modem, Sending, Server};
use super::{ANYWHERE, Fault, Firmware, LINKS_MAX, SEND_LEN_MAX};

impl Modem {
    pub(super) fn set_several_links(&mut self, line: &Line) {
        match line.number::<u8>(0) {
            Some(several @ 0..=1) if self.is.links.iter().all(Option::is_none) => {
                self.is.several_links = several == 1;
                self.ok();
            }
            Some(_) => {
                self.say("link is builded\r\n");
                self.error();
            }
            None => self.error(),
        }
    }

    /// `AT+CIPSTART=link,"TCP","host",port` or `AT+CIPSTART=link,"UDP","host",port,own port,mode`.
    pub(super) async fn open(&mut self, line: &Line) {
        let link = line.number(0).filter(|link| *link < LINKS_MAX && self.is.several_links);
        let (Some(link), Some(host), Some(port)) = (link, line.text(2), line.number(3)) else {
            return self.error();
        };
        let taken = self.is.links.get(link).is_some_and(Option::is_some);
        if taken || self.fault == Some(Fault::AlreadyConnected) {
            self.say("ALREADY CONNECTED\r\n");
            return self.error();
        }
        match line.text(1) {
            Some("TCP") if self.is.joined.is_none() => {
                if self.surroundings.firmware == Firmware::At1 {
                    self.say("no ip\r\n");
                }
                self.error();
            }
            Some("TCP") => self.begin(Doing::Connect { link, host: host.to_owned(), port }),
            Some("UDP") => self.open_udp(link, line.number(4).unwrap_or(port)).await,
            _ => self.error(),
        }
    }

    async fn open_udp(&mut self, link: usize, port: u16) {
        let really = self.surroundings.udp_ports.get(&port).copied().unwrap_or(ANYWHERE);
        match UdpSocket::bind(really).await {
            Ok(socket) => {
                let id = self.next_id();
                self.keep(link, Link::udp(link, id, socket, port, self.news.clone()));
                self.say(&format!("{link},CONNECT\r\n"));
                self.ok();
            }
            Err(error) => {
                tracing::warn!(%error, address = %really, "the modem cannot use this UDP port");
                self.error();
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.counts.links += 1;
        self.counts.links
    }

    fn keep(&mut self, number: usize, link: Link) {
        if let Some(place) = self.is.links.get_mut(number) {
            *place = Some(link);
        }
    }

    pub(super) fn connected(&mut self, number: usize, stream: io::Result<TcpStream>, known: bool) {
        match stream {
            Ok(stream) if self.is.joined.is_some() => {
                let id = self.next_id();
                self.keep(number, Link::tcp(number, id, stream, None, self.news.clone()));
                self.say(&format!("{number},CONNECT\r\n"));
                self.ok();
            }
            _ => {
                if !known {
                    self.say("DNS Fail\r\n");
                }
                self.error();
                self.say(&format!("{number},CLOSED\r\n"));
            }
        }
    }

    pub(super) fn incoming(&mut self, stream: TcpStream, from: SocketAddr) {
        let Some(access_point) = self.is.access_point.as_ref().filter(|_| self.is.mode & 2 != 0) else {
            return;
        };
        let mut stations: Vec<_> =
            self.is.links.iter().flatten().filter_map(|link| link.incoming).map(|from| from.ip()).collect();
        stations.sort_unstable();
        stations.dedup();
        let is_new = !stations.contains(&from.ip());
        let is_one_too_many = is_new && stations.len() >= access_point.stations_max;
        let free = self.is.links.iter().position(Option::is_none);
        let Some(number) = free.filter(|_| !is_one_too_many) else { return };
        if is_new {
            self.say("+STA_CONNECTED:\"02:00:00:00:03:00\"\r\n");
            self.say("+DIST_STA_IP:\"02:00:00:00:03:00\",\"192.168.4.2\"\r\n");
        }
        let id = self.next_id();
        self.keep(number, Link::tcp(number, id, stream, Some(from), self.news.clone()));
        self.say(&format!("{number},CONNECT\r\n"));
    }

    pub(super) fn received(&mut self, number: usize, id: u64, bytes: &[u8], from: Option<SocketAddr>) {
        let known = self.is.links.get_mut(number).and_then(Option::as_mut).filter(|link| link.id == id);
        let Some(link) = known else { return };
        if let Some(from) = from {
            link.heard_from(from);
        }
        self.counts.received_len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.say(&format!("\r\n+IPD,{number},{}:", bytes.len()));
        self.say_bytes(bytes);
    }

    pub(super) fn prompt(&mut self, line: &Line) {
        let link = line.number(0).filter(|link| self.is.links.get(*link).is_some_and(Option::is_some));
        let len = line.number(1).filter(|len| (1..=SEND_LEN_MAX).contains(len));
        let Some(link) = link else {
            self.say("link is not valid\r\n");
            return self.error();
        };
        let Some(len) = len else { return self.error() };
        let fault = self.fault.take();
        if fault != Some(Fault::LosePrompt) {
            self.ok();
            self.say(match self.surroundings.firmware {
                Firmware::At1 => "> ",
                Firmware::At2 => "\r\n>",
            });
        }
        self.is.sending = Some(Sending { link, len, data: Vec::with_capacity(len), fault });
    }

    /// All of the data has come.
    pub(super) async fn send(&mut self) {
        let Some(Sending { link: number, len, data, fault }) = self.is.sending.take() else { return };
        if fault == Some(Fault::RestartInSend) {
            return self.restart();
        }
        self.say(&format!("\r\nRecv {len} bytes\r\n"));
        if fault == Some(Fault::CloseInSend) && self.drop_link(number) {
            self.say(&format!("{number},CLOSED\r\n"));
        }
        let sent = match self.is.links.get_mut(number).and_then(Option::as_mut) {
            Some(link) if fault != Some(Fault::SendFail) => link.send(&data).await,
            _ => false,
        };
        if sent {
            self.counts.sent_len += u64::try_from(len).unwrap_or(u64::MAX);
        }
        match (sent, fault) {
            (true, Some(Fault::LoseSendOk)) => {}
            (true, _) => self.say("\r\nSEND OK\r\n"),
            (false, _) => self.say("\r\nSEND FAIL\r\n"),
        }
    }

    fn drop_link(&mut self, number: usize) -> bool {
        self.is.links.get_mut(number).and_then(Option::take).is_some()
    }

    pub(super) fn close(&mut self, line: &Line) {
        let link =
            line.number::<usize>(0).and_then(|number| Some((number, self.is.links.get_mut(number)?.take()?)));
        match link {
            Some((number, link)) => {
                self.is.closing.retain(|task| !task.is_finished());
                self.is.closing.extend(link.close());
                self.say(&format!("{number},CLOSED\r\n"));
                self.ok();
            }
            None => {
                self.say("UNLINK\r\n");
                self.error();
            }
        }
    }

    /// Cuts the links that others opened, or those that the device opened over the network that it joined.
    pub(super) fn cut_links(&mut self, incoming: bool) {
        for number in 0..LINKS_MAX {
            let cut = |link: &mut Link| link.incoming.is_some() == incoming && link.udp_port().is_none();
            let link = self.is.links.get_mut(number).and_then(|link| link.take_if(cut));
            if link.is_some() {
                self.say(&format!("{number},CLOSED\r\n"));
            }
        }
    }

    /// `AT+CIPSERVER=1,port` and `AT+CIPSERVER=0`.
    pub(super) async fn serve(&mut self, line: &Line) {
        match (line.number::<u8>(0), line.number::<u16>(1)) {
            (Some(0), _) => {
                self.is.server = None;
                self.ok();
            }
            (Some(1), Some(port)) if self.is.several_links => {
                if self.is.server.as_ref().is_some_and(|server| server.port == port) {
                    self.say("no change\r\n");
                    return self.ok();
                }
                self.listen(port).await;
            }
            _ => self.error(),
        }
    }

    async fn listen(&mut self, port: u16) {
        let really = self.surroundings.tcp_ports.get(&port).copied().unwrap_or(ANYWHERE);
        // The old one first: it may be the same address.
        self.is.server = None;
        let listener = TcpListener::bind(really).await;
        match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((really, listener)) => {
                let task = links::start(links::accept(listener, self.news.clone()));
                self.is.server = Some(Server { port, really, _task: task });
                self.ok();
            }
            Err(error) => {
                tracing::warn!(%error, address = %really, "the modem cannot listen here");
                self.error();
            }
        }
    }
}
