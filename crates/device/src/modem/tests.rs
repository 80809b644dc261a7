//! What the receiver makes of an unreliable line, and what becomes of links. With a modem it is tested in the simulator.

extern crate std;

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::vec::Vec;

use embassy_futures::poll_once;
use embedded_io_async::{ErrorKind, ErrorType};

use super::link::Link;
use super::*;

/// A line that gives these pieces and errors, and then nothing.
struct Script(VecDeque<Result<&'static [u8], ErrorKind>>);

impl ErrorType for Script {
    type Error = ErrorKind;
}

impl Read for Script {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        match self.0.pop_front() {
            None => pending().await,
            Some(Err(error)) => Err(error),
            Some(Ok(piece)) => {
                bytes[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
    }
}

/// What the receiver makes of a script; gives the errors that it returned.
fn receive(
    state: &State,
    script: impl IntoIterator<Item = Result<&'static [u8], ErrorKind>>,
) -> Vec<ErrorKind> {
    let rx = Script(script.into_iter().collect());
    let mut receiver = Receiver { state, rx, parser: Parser::new() };
    let mut errors = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while !receiver.rx.0.is_empty() {
        let mut runs = pin!(receiver.run());
        // It gives others a turn after each piece.
        for _ in 0..100 {
            if let Poll::Ready(error) = runs.as_mut().poll(&mut context) {
                errors.push(error);
                break;
            }
        }
    }
    errors
}

fn listening() -> State {
    let mut state = State::new();
    state.core.get_mut().listening = true;
    state
}

/// What a reader of this use of a link gets; `None` while it waits.
fn read(state: &State, number: usize, generation: u32) -> Option<Result<Vec<u8>, SocketError>> {
    let mut bytes = [0; 8];
    let mut context = Context::from_waker(Waker::noop());
    match state.with(|core| core.links[number].poll_read(generation, &mut bytes, &mut context)) {
        Poll::Pending => None,
        Poll::Ready(count) => Some(count.map(|count| bytes[..count].to_vec())),
    }
}

#[test]
fn an_error_of_the_line_ends_the_link_whose_bytes_it_cut() {
    let state = listening();
    let errors = receive(
        &state,
        [
            Ok(&b"0,CONNECT\r\n1,CONNECT\r\n+IPD,0,10:abc"[..]),
            Err(ErrorKind::Other),
            Ok(b"garbage\r\n+IPD,1,2:hi"),
            Err(ErrorKind::Other),
            Ok(b"\r\n+IPD,1,2:ho"),
        ],
    );
    assert_eq!(errors, [ErrorKind::Other; 2]);
    let generations = state.with(|core| [0, 1].map(|number| core.links[number].accept().unwrap()));
    assert_eq!(read(&state, 0, generations[0]), Some(Ok(b"abc".to_vec())));
    assert_eq!(read(&state, 0, generations[0]), Some(Err(SocketError::Garbled)));
    assert_eq!(read(&state, 1, generations[1]), Some(Ok(b"hiho".to_vec())));
    assert_eq!(read(&state, 1, generations[1]), None);
}

#[test]
fn a_number_that_is_used_again_is_another_link() {
    let state = listening();
    receive(&state, [Ok(&b"2,CONNECT\r\n+IPD,2,3:one"[..])]);
    let old = state.with(|core| core.links[2].accept().unwrap());
    receive(&state, [Ok(&b"2,CLOSED\r\n2,CONNECT\r\n+IPD,2,3:two"[..])]);
    let new = state.with(|core| core.links[2].accept().unwrap());
    assert_eq!(read(&state, 2, old), Some(Err(SocketError::Closed)));
    // What the old one's socket does is not done to the new one.
    state.with(|core| {
        core.links[2].end_of(old, SocketError::Interrupted);
        assert!(!core.links[2].remove_user(old));
    });
    assert_eq!(read(&state, 2, new), Some(Ok(b"two".to_vec())));
    assert_eq!(read(&state, 2, new), None);
}

#[test]
fn links_of_which_no_one_knows_are_to_be_closed() {
    let state = State::new();
    receive(&state, [Ok(&b"0,CONNECT\r\n+IPD,3,2:hi+IPD,9,2:hi"[..])]);
    let unwanted = state.with(|core| core.links.each_ref().map(Link::wants_closing));
    assert_eq!(unwanted, [true, false, false, true, false]);
}

#[test]
fn a_line_that_ended_stays_silent() {
    let state = State::new();
    let rx = Script([Ok(&b""[..])].into());
    let mut receiver = Receiver { state: &state, rx, parser: Parser::new() };
    assert!(poll_once(receiver.run()).is_pending());
}
