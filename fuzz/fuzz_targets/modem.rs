//! The modem driver: whatever the modem says, whenever, nothing panics and every command ends; and the same is understood
//! however the bytes are cut.
//!
//! An input is `size step…`: pieces of this size for the parser; for the driver each step is an answer, a piece of noise, or
//! time that passes.
#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use libfuzzer_sys::fuzz_target;
use vitalwire_device::clock::{Clock, within};
use vitalwire_device::modem::{Event, Modem, Parser, State, split};

fuzz_target!(|data: &[u8]| {
    let Some((&size, said)) = data.split_first() else { return };
    let cut: Vec<&[u8]> = said.chunks(usize::from(size.max(1))).collect();
    assert_eq!(understood(&cut), understood(&[said]), "cuts change what is understood");
    drive(said);
});

/// The events; data byte by byte, as only its pieces depend on the cuts.
fn understood(pieces: &[&[u8]]) -> Vec<String> {
    let (mut parser, mut all) = (Parser::new(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        while let Some(event) = parser.next(&mut input) {
            match event {
                Event::Data { link, bytes, left } => {
                    let last = bytes.len() - 1;
                    let each = bytes.iter().enumerate();
                    all.extend(each.map(|(at, byte)| format!("{link} {byte} {}", left + last - at)));
                }
                event => all.push(format!("{event:?}")),
            }
        }
        assert!(input.is_empty(), "a parser that needs more has left some");
    }
    all
}

/// Milliseconds, which pass when a step says so.
#[derive(Clone)]
struct Steps(Rc<RefCell<u64>>);

impl Clock for Steps {
    fn now_us(&self) -> u64 {
        *self.0.borrow() * 1_000
    }

    async fn wait_until_us(&self, at_us: u64) {
        // All is polled after each step.
        std::future::poll_fn(|_| if self.now_us() >= at_us { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// What is on its way to the driver, and what it wrote last.
#[derive(Clone, Default)]
struct Line {
    to_driver: Rc<RefCell<VecDeque<u8>>>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        std::future::poll_fn(|_| {
            let mut queue = self.to_driver.borrow_mut();
            let count = queue.len().min(bytes.len());
            for (to, from) in bytes.iter_mut().zip(queue.drain(..count)) {
                *to = from;
            }
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        })
        .await
    }
}

impl Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        *self.written.borrow_mut() = bytes.to_vec();
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a modem that works answers.
fn right_answer(written: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(written);
    let text = text.trim();
    match text.split_once('=').map_or(text, |(name, _)| name) {
        "AT+GMR" => b"AT version:2.2.1.0(x)\r\nOK\r\n".to_vec(),
        "AT+RST" => b"OK\r\nready\r\n".to_vec(),
        "AT+CIPSEND" => b"OK\r\n>".to_vec(),
        "AT+CWLAP" => b"+CWLAP:(3,\"a\",-52,\"02:00:00:00:00:01\",1)\r\nOK\r\n".to_vec(),
        "AT+CIFSR" => b"+CIFSR:STAIP,\"10.0.0.7\"\r\nOK\r\n".to_vec(),
        "AT+CIPSTART" => format!("{},CONNECT\r\nOK\r\n", &text[12..13]).into_bytes(),
        _ if text.starts_with("AT") => b"OK\r\n".to_vec(),
        _ => b"SEND OK\r\n".to_vec(),
    }
}

fn drive(mut steps: &[u8]) {
    let (line, clock) = (Line::default(), Steps(Rc::default()));
    let mut state = State::new();
    let (mut receiver, modem) = split(&mut state, line.clone(), line.clone(), clock.clone());
    let mut runs = pin!(receiver.run());
    let mut uses = pin!(use_it(&modem, &clock));
    let mut context = Context::from_waker(Waker::noop());
    while let Some((&step, rest)) = steps.split_first() {
        steps = rest;
        let said = match step % 16 {
            0..=4 => right_answer(&line.written.borrow()),
            5 => b"OK\r\n".to_vec(),
            6 => b"ERROR\r\n".to_vec(),
            7 => b"busy p...\r\n".to_vec(),
            8 => b"\r\nready\r\n".to_vec(),
            9 => format!("{},CONNECT\r\n", step / 16 % 6).into_bytes(),
            10 => format!("{},CLOSED\r\n", step / 16 % 6).into_bytes(),
            11 => [format!("+IPD,{},300:", step / 16 % 6).into_bytes(), vec![step; 300]].concat(),
            12 => b"WIFI DISCONNECT\r\n".to_vec(),
            13 => b"SEND FAIL\r\n".to_vec(),
            14 => {
                *clock.0.borrow_mut() += u64::from(step) * 40;
                Vec::new()
            }
            _ => {
                let (noise, rest) = steps.split_at(steps.len().min(usize::from(step / 16) * 3));
                steps = rest;
                noise.to_vec()
            }
        };
        line.to_driver.borrow_mut().extend(said);
        *clock.0.borrow_mut() += 1;
        // Several times, as one wakes the other.
        for _ in 0..4 {
            assert!(runs.as_mut().poll(&mut context).is_pending());
            assert!(uses.as_mut().poll(&mut context).is_pending());
        }
    }
}

/// Uses all of it, for ever.
async fn use_it(modem: &Modem<'_, Line, Steps>, clock: &Steps) -> Infallible {
    const SOON_MS: u64 = 30;
    loop {
        if modem.start().await.is_err() {
            // Something passes, or this would go on without the modem.
            clock.wait_ms(1).await;
            continue;
        }
        let (mut networks, mut bytes) = (Default::default(), [0; 700]);
        let _seen = modem.scan(&mut networks).await;
        let _open = modem.open_access_point("Med_IoT", None).await;
        let _listens = modem.listen(80).await;
        let mut port = modem.open_datagrams(53).await.ok();
        if let Ok(Ok(mut socket)) = within(clock, SOON_MS, modem.accept()).await {
            let _came = within(clock, SOON_MS, socket.read(&mut bytes)).await;
            let _sent = socket.write(b"hello").await;
        }
        if let Some(port) = &mut port {
            let _came = within(clock, SOON_MS, port.receive(&mut bytes)).await;
            let _sent = within(clock, SOON_MS, port.reply(b"hello")).await;
        }
        let _joined = within(clock, SOON_MS, modem.join(b"a", "12345678")).await;
        let _address = modem.address().await;
        if let Ok(mut socket) = modem.connect("host", 1).await {
            let other = socket.clone();
            let _sent = within(clock, SOON_MS, socket.write(&bytes)).await;
            let _came = within(clock, SOON_MS, socket.read(&mut bytes)).await;
            other.close().await;
        }
        within(clock, SOON_MS, modem.lost()).await.ok();
    }
}
