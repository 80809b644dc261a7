//! One client's connection: reads its packets, asks the core, writes what lies ready for it. One task, no second buffer.
//!
//! What was published in a turn of the runtime leaves in one write when that turn ends.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tracing::{debug, warn};
use vitalwire_access::acl;
use vitalwire_registry::User;

use crate::archive::Reading;
use crate::connections::Connection;
use crate::core::session::End;
use crate::core::turn::{Turn, Wish};
use crate::core::{At, BUFFER_BYTES_KEPT, Leaving};
use crate::engine::Engine;
use crate::login::{LoggedIn, log_in};
use crate::message::Publication;
use crate::protocol::{
    Accepted, ConnectRefusal, ConnectRequest, Input, Protocol, ProtocolLimits, PublishRequest,
    SubscribeRefusal,
};
use crate::wire::{self, Frame};

/// Read at once.
const READ_BYTES: usize = 16 << 10;
/// Written at once: a WebSocket makes one message of it.
const WRITE_BYTES: usize = 64 << 10;
/// A client that takes no answers is not asked further when so many bytes wait for it.
const UNREAD_BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// Connections read one after the other, so that one buffer serves a thread.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Serves a client until its connection ends.
pub(crate) async fn serve<S>(stream: S, connection: &Arc<Connection>, engine: &Arc<Engine>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &engine.limits;
    let protocol = Protocol::new(ProtocolLimits {
        packet_bytes_max: u32::try_from(limits.client_packet_bytes_max).unwrap_or(u32::MAX),
        publishes_max: limits.client_publishes_max.max(1),
        aliases_max: limits.topic_aliases_max,
    });
    let mut wire = Wire {
        stream,
        connection: Arc::clone(connection),
        inbox: Vec::new(),
        writing: Vec::new(),
        written: 0,
        is_flushed: true,
    };
    let Some((online, protocol)) = greet(&mut wire, protocol, engine).await? else {
        return wire.close(engine).await;
    };
    let mut client = Client {
        wire,
        protocol,
        last_received: Instant::now(),
        blocked: None,
        closing: None,
        waiting_bytes: 0,
        timer: None,
        reading: None,
        online,
    };
    // What came right behind CONNECT.
    client.take_inbox();
    let served = poll_fn(|cx| client.poll(cx)).await;
    let Client { mut wire, online, .. } = client;
    drop(online);
    if served.is_ok() {
        let linger = Duration::from_millis(limits.linger_ms_max);
        // A peer that is gone already needs no last words.
        let _ = tokio::time::timeout(linger, wire.part()).await;
    }
    served
}

/// Bytes to and from the client.
struct Wire<S> {
    stream: S,
    connection: Arc<Connection>,
    inbox: Vec<u8>,
    writing: Vec<u8>,
    written: usize,
    is_flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Reads once into the inbox; how many bytes. Zero is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        READ.with_borrow_mut(|buffer| {
            let mut room = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            self.inbox.extend_from_slice(room.filled());
            Poll::Ready(Ok(room.filled().len()))
        })
    }

    /// Writes what is there. Ready when nothing is left; how many bytes it wrote is told in any case.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> (usize, Poll<io::Result<()>>) {
        let begin = self.written;
        while let Some(rest) = self.writing.get(self.written..).filter(|rest| !rest.is_empty()) {
            let chunk = rest.get(..WRITE_BYTES).unwrap_or(rest);
            match Pin::new(&mut self.stream).poll_write(cx, chunk) {
                Poll::Ready(Ok(0)) => return (0, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(len)) => {
                    self.written += len;
                    self.is_flushed = false;
                }
                Poll::Ready(Err(error)) => return (0, Poll::Ready(Err(error))),
                Poll::Pending => return (self.written - begin, Poll::Pending),
            }
        }
        let len = self.written - begin;
        self.writing.clear();
        self.written = 0;
        if self.writing.capacity() > BUFFER_BYTES_KEPT {
            self.writing = Vec::new();
        }
        if !self.is_flushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.is_flushed = true,
                other => return (len, other),
            }
        }
        (len, Poll::Ready(Ok(())))
    }

    /// Writes the last words, within their time, and ends.
    async fn close(mut self, engine: &Engine) -> io::Result<()> {
        let linger = Duration::from_millis(engine.limits.linger_ms_max);
        let last_words = async {
            poll_fn(|cx| self.poll_write(cx).1).await?;
            self.part().await
        };
        tokio::time::timeout(linger, last_words).await.unwrap_or(Ok(()))
    }

    /// Says that no more comes, and reads until the client has understood: a socket that is closed with something unread takes
    /// back what it sent last.
    async fn part(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?;
        while poll_fn(|cx| self.poll_read(cx)).await? > 0 {
            self.inbox.clear();
        }
        Ok(())
    }

    /// The first packet, and its length in the inbox.
    async fn first_packet(&mut self, len_max: usize) -> io::Result<usize> {
        loop {
            match wire::frame(&self.inbox, len_max) {
                Frame::Other { len } => return Ok(len),
                Frame::Part if self.inbox.len() <= len_max => {}
                _ => return Err(invalid("the first bytes are no CONNECT")),
            }
            let read = poll_fn(|cx| {
                if self.connection.cut.poll_cut(cx) {
                    return Poll::Ready(Ok(0));
                }
                self.poll_read(cx)
            });
            if read.await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Takes CONNECT and answers it. `None`: refused, and the answer is to be written.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    mut protocol: Protocol,
    engine: &Arc<Engine>,
) -> io::Result<Option<(Online, Protocol)>> {
    let time = engine.limits.connect_deadline();
    let first = wire.first_packet(engine.limits.client_packet_bytes_max);
    let len = tokio::select! {
        len = tokio::time::timeout(time, first) => len.map_err(|_| invalid("no MQTT login in time"))??,
        () = engine.stopping.cancelled() => return Err(invalid("the broker stops")),
    };
    let packet: Vec<u8> = wire.inbox.drain(..len).collect();
    let mut request = None;
    for input in protocol.take(&packet) {
        match input {
            Input::Connect(connect) => request = Some(connect),
            Input::Reply(bytes) => wire.writing.extend(bytes),
            Input::Broken(why) => {
                debug!(parent: &wire.connection.span, why, "MQTT connection refused");
                return Ok(None);
            }
            _ => return Err(invalid("the first packet is not CONNECT")),
        }
    }
    let Some(request) = request else { return Ok(None) };
    wire.connection.begin_login();
    let logged_in = tokio::select! {
        logged_in = log_in(engine, &request, &wire.connection) => logged_in,
        () = engine.stopping.cancelled() => Err(ConnectRefusal::Stopping),
    };
    match logged_in {
        Ok(logged_in) => {
            let online = begin(wire, &mut protocol, engine, &request, logged_in);
            // Nothing, when CONNACK is longer than the client takes: it would wait for good.
            Ok((!wire.writing.is_empty()).then_some((online, protocol)))
        }
        Err(refusal) => {
            wire.writing.extend(protocol.refuse(refusal));
            Ok(None)
        }
    }
}

fn begin<S>(
    wire: &mut Wire<S>,
    protocol: &mut Protocol,
    engine: &Arc<Engine>,
    request: &ConnectRequest,
    logged_in: LoggedIn,
) -> Online {
    let LoggedIn { user, client_id, is_assigned, connected } = logged_in;
    wire.connection.admit(Arc::clone(&user), &client_id);
    // The user may have changed while its password was checked.
    engine.connections.cut_outdated(&engine.logins.directory().borrow());
    let answer = protocol.accept(Accepted {
        present: connected.present,
        assigned: is_assigned.then_some(&*client_id),
        expiry_s: (connected.expiry_s != request.expiry_s).then_some(connected.expiry_s),
        received: connected.received,
    });
    wire.writing.extend(answer);
    if let Some(will) = connected.will {
        engine.publish_will(user.name.as_str(), will);
    }
    let keep_alive_s = u64::from(request.keep_alive_s);
    Online {
        engine: Arc::clone(engine),
        at: connected.at,
        user,
        client_id,
        expiry_s: connected.expiry_s,
        // One and a half times the keep alive, MQTT 5 §3.1.2.10.
        silence_max: (keep_alive_s > 0).then(|| Duration::from_millis(keep_alive_s * 1_500)),
        leaving: Leaving::default(),
    }
}

/// A client's hold on its session. Dropping it ends that, whatever the reason.
struct Online {
    engine: Arc<Engine>,
    at: At,
    user: Arc<User>,
    client_id: Arc<str>,
    expiry_s: u32,
    silence_max: Option<Duration>,
    leaving: Leaving,
}

impl Drop for Online {
    fn drop(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        let will = self.engine.core.lock().leave(self.at, leaving);
        if let Some(will) = will {
            self.engine.publish_will(self.user.name.as_str(), will);
        }
    }
}

/// A client that is logged in.
struct Client<S> {
    wire: Wire<S>,
    protocol: Protocol,
    last_received: Instant,
    /// Since when its socket takes nothing.
    blocked: Option<Instant>,
    /// No more is read; until then, what is written already is on its way.
    closing: Option<Instant>,
    /// What its answers amounted to since its last write.
    waiting_bytes: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// What is being read of the archive for it, and how often something had been erased before.
    reading: Option<(Reading, u64)>,
    online: Online,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wire.connection.cut.poll_cut(cx) {
            return Poll::Ready(Err(io::Error::other("the broker closed this connection")));
        }
        loop {
            let read = if self.may_read() { self.poll_in(cx)? } else { Poll::Pending };
            let written = self.poll_out(cx)?;
            if self.closing.is_some() && written.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if read.is_pending() {
                break;
            }
        }
        self.poll_timer(cx)
    }

    fn may_read(&self) -> bool {
        self.closing.is_none() && (self.blocked.is_none() || self.waiting_bytes < UNREAD_BYTES_MAX)
    }

    fn poll_in(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        match self.wire.poll_read(cx)? {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(_) => {}
        }
        self.last_received = Instant::now();
        self.take_inbox();
        Ok(Poll::Ready(()))
    }

    fn take_inbox(&mut self) {
        let inbox = std::mem::take(&mut self.wire.inbox);
        let used = self.take_packets(&inbox);
        self.wire.inbox = inbox;
        self.wire.inbox.drain(..used);
        if self.wire.inbox.is_empty() && self.wire.inbox.capacity() > READ_BYTES {
            self.wire.inbox = Vec::new();
        }
    }

    /// Takes the whole packets; how many bytes they are.
    fn take_packets(&mut self, inbox: &[u8]) -> usize {
        let len_max = self.online.engine.limits.client_packet_bytes_max;
        let mut used = 0;
        while let Some(rest) = inbox.get(used..).filter(|rest| !rest.is_empty() && self.closing.is_none()) {
            match wire::frame(rest, len_max) {
                Frame::Part => break,
                Frame::Answer { len, .. } if !self.protocol.is_answer(rest.get(..len).unwrap_or(rest)) => {
                    let words = self.protocol.malformed();
                    self.close_with(words, "what stands behind an answer's packet identifier is malformed");
                }
                Frame::Answer { answer, packet_id, len } => {
                    self.online.engine.core.lock().answered(self.online.at, answer, packet_id);
                    used += len;
                }
                Frame::Other { len } => {
                    for input in self.protocol.take(rest.get(..len).unwrap_or(rest)) {
                        self.act(input);
                    }
                    used += len;
                }
                Frame::TooLong => {
                    let words = self.protocol.too_long();
                    self.close_with(words, "a packet is longer than may be");
                }
                Frame::Malformed => {
                    let words = self.protocol.malformed();
                    self.close_with(words, "the bytes are no packet");
                }
            }
        }
        used
    }

    fn act(&mut self, input: Input) {
        match input {
            // The protocol lets one CONNECT through.
            Input::Connect(_) => self.close_with(Vec::new(), "a second CONNECT"),
            Input::Publish(publish) => self.publish(*publish),
            Input::Release { packet_id } => {
                self.online.engine.core.lock().forget_taken(self.online.at, packet_id);
                let answer = self.protocol.completed(packet_id);
                self.reply(&answer);
            }
            Input::Subscribe { packet_id, wishes } => self.subscribe(packet_id, &wishes),
            Input::Unsubscribe { packet_id, filters } => {
                let mut core = self.online.engine.core.lock();
                let known: Vec<bool> =
                    filters.iter().map(|filter| core.unsubscribe(self.online.at, filter)).collect();
                drop(core);
                let answer = self.protocol.unsubscribed(packet_id, &known);
                self.reply(&answer);
            }
            Input::Disconnect { in_good_order, expiry_s } => {
                if self.online.expiry_s == 0 && expiry_s.is_some_and(|expiry_s| expiry_s > 0) {
                    // MQTT 5 §3.14.2.2.2.
                    let words = self.protocol.out_of_order();
                    self.close_with(words, "DISCONNECT makes a session stored that was not");
                    return;
                }
                self.online.leaving.in_good_order = in_good_order;
                self.online.leaving.expiry_s = expiry_s;
                self.close_with(Vec::new(), "DISCONNECT");
            }
            Input::Reply(bytes) => self.reply(&bytes),
            Input::Broken(why) => self.close_with(Vec::new(), &why),
        }
    }

    fn publish(&mut self, publish: PublishRequest) {
        let engine = &self.online.engine;
        let allowed =
            engine.role_allows(self.online.user.name.as_str(), |role| acl::may_publish(role, &publish.topic));
        if allowed {
            let publication = publish.publication();
            let publication = Publication { origin: self.online.at.serial, ..publication };
            let once = (publish.qos == 2).then_some((self.online.at, publish.packet_id));
            engine.publish(publication, publish.expiry_s, once);
        } else {
            debug!(parent: &self.wire.connection.span, topic = publish.topic, "this user may not publish there");
        }
        let answer = self.protocol.published(&publish, allowed);
        self.reply(&answer);
    }

    fn subscribe(&mut self, packet_id: u16, wishes: &[(String, Wish)]) {
        let (engine, at) = (Arc::clone(&self.online.engine), self.online.at);
        let mut retained = Vec::new();
        let mut granted = Vec::with_capacity(wishes.len());
        for (filter, wish) in wishes {
            if !engine.role_allows(self.online.user.name.as_str(), |role| acl::may_subscribe(role, filter)) {
                granted.push(Err(SubscribeRefusal::NotAuthorized));
                continue;
            }
            match engine.core.lock().subscribe(at, filter, *wish) {
                Ok(with_retained) => {
                    granted.push(Ok(wish.qos));
                    retained.extend(with_retained.then_some((filter, *wish)));
                }
                Err(refused) => granted.push(Err(SubscribeRefusal::Core(refused))),
            }
        }
        let answer = self.protocol.subscribed(packet_id, &granted);
        self.reply(&answer);
        for (filter, wish) in retained {
            engine.core.lock().send_retained(at, filter, wish);
        }
    }

    fn reply(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.waiting_bytes += bytes.len();
            self.online.engine.core.lock().reply(self.online.at, bytes);
        }
    }

    /// Reads no more, and ends when the last words are written.
    fn close_with(&mut self, words: Vec<u8>, why: &str) {
        debug!(parent: &self.wire.connection.span, why, "MQTT connection ends");
        if self.closing.is_none() {
            self.take_output();
            self.wire.writing.extend(words);
            let linger = Duration::from_millis(self.online.engine.limits.linger_ms_max);
            self.closing = Some(Instant::now() + linger);
        }
    }

    /// What was answered before goes out before the last words.
    fn take_output(&mut self) {
        let Online { engine, at, client_id, .. } = &self.online;
        let mut output = Vec::new();
        engine.core.lock().turn(*at, client_id, &mut output, std::task::Waker::noop());
        self.wire.writing.append(&mut output);
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        let mut has_more = false;
        loop {
            if has_more {
                // Others take their turns first: what a client missed may be much.
                cx.waker().wake_by_ref();
                return Ok(Poll::Ready(()));
            }
            if self.wire.writing.is_empty() && self.closing.is_none() {
                let Online { engine, at, client_id, .. } = &self.online;
                let turn = engine.core.lock().turn(*at, client_id, &mut self.wire.writing, cx.waker());
                self.waiting_bytes = 0;
                match turn {
                    Turn::End(end) => self.end(end),
                    Turn::Write { more, ask } => {
                        has_more = self.poll_archive(cx, ask) || more;
                        if !has_more && self.wire.writing.is_empty() && self.wire.is_flushed {
                            return Ok(Poll::Ready(()));
                        }
                    }
                }
            }
            let (len, written) = self.wire.poll_write(cx);
            if len > 0 {
                self.blocked = None;
            }
            match written {
                Poll::Ready(written) => {
                    written?;
                    self.blocked = None;
                }
                Poll::Pending => {
                    self.blocked.get_or_insert_with(Instant::now);
                    return Ok(Poll::Pending);
                }
            }
            if self.closing.is_some() {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// Reads in the archive what the session asks for; whether something came.
    fn poll_archive(&mut self, cx: &mut Context<'_>, ask: bool) -> bool {
        let Online { engine, at, .. } = &self.online;
        if ask
            && self.reading.is_none()
            && let Some(archive) = &engine.archive
            && let Some(ask) = engine.core.lock().ask(*at)
        {
            self.reading = Some((archive.read(ask.after, ask.wanted), ask.erasures));
        }
        let Some((reading, erasures)) = &mut self.reading else { return false };
        let Poll::Ready(page) = reading.as_mut().poll(cx) else { return false };
        let erasures = *erasures;
        if page.gone > 0 {
            warn!(parent: &self.wire.connection.span, entries = page.gone, "a reader was away for so long that the \
                journal has not all that it missed: entries went by age, by size, or with their device");
        }
        engine.core.lock().take_page(*at, page, erasures);
        self.reading = None;
        true
    }

    fn end(&mut self, end: End) {
        let words = self.protocol.ended(end);
        self.close_with(
            words,
            match end {
                End::TakenOver => "another connection has the client id now",
                End::Removed => "its session was removed",
                End::Stopping => "the broker stops",
            },
        );
    }

    /// When something is to happen though nothing came, and whether it is that the client said nothing for too long.
    fn due(&self) -> Option<(Instant, bool)> {
        let silent = self.online.silence_max.filter(|_| self.closing.is_none());
        let silent = silent.map(|silence_max| (self.last_received + silence_max, true));
        let stall_max = Duration::from_millis(self.online.engine.limits.stall_ms_max);
        let stalled = self.blocked.map(|since| (since + stall_max, false));
        let closing = self.closing.map(|deadline| (deadline, false));
        [silent, stalled, closing].into_iter().flatten().min()
    }

    /// The timer is set again when it fires and when something is due earlier, so that a packet only notes the time.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some((due, is_silent)) = self.due() else { return Poll::Pending };
            if due <= Instant::now() {
                if !is_silent {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the client takes nothing",
                    )));
                }
                let words = self.protocol.silent();
                self.close_with(words, "the client said nothing for longer than its keep alive");
                if self.poll_out(cx)?.is_ready() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}
