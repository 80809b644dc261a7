//! Takes the modem's bytes apart: lines, the `>` prompt, and the data of `+IPD`, in pieces as they come. It waits for
//! nothing and knows no state of the modem; whatever comes, it finds the next line end again.

use heapless::Vec;

use super::event::Event;
use super::{LINKS_MAX, line};

/// Bytes of a line, at most; the longest that matters is one of `+CWLAP`, about 120. Of a longer one nothing is kept.
pub const LINE_LEN_MAX: usize = 192;

/// Takes bytes apart, see the module.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8, LINE_LEN_MAX>,
    /// The line was given out, and goes with the next byte.
    given: bool,
    /// Up to the next line end all is dropped.
    deaf: bool,
    data: Option<Data>,
}

/// An `+IPD` on its way.
#[derive(Clone, Copy, Debug)]
struct Data {
    link: u8,
    left: usize,
}

impl Parser {
    /// At the start of a line.
    #[must_use]
    pub const fn new() -> Self {
        Self { line: Vec::new(), given: false, deaf: false, data: None }
    }

    /// Takes bytes off `input` up to the end of one event; `None` when there is none before the end of `input`.
    pub fn next<'e, 'i: 'e>(&'e mut self, input: &mut &'i [u8]) -> Option<Event<'e>> {
        if core::mem::take(&mut self.given) {
            self.line.clear();
        }
        loop {
            if self.data.is_some() {
                return self.take_data(input);
            }
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            match byte {
                b'\n' if core::mem::take(&mut self.deaf) => self.line.clear(),
                b'\n' => {
                    self.given = true;
                    return Some(line::read(line::trim(&self.line)));
                }
                _ if self.deaf => {}
                b'>' if line::trim(&self.line).is_empty() => {
                    self.given = true;
                    return Some(Event::Prompt);
                }
                b':' => match line::announced(line::trim(&self.line)) {
                    Some((link, left)) => {
                        self.line.clear();
                        self.data = Some(Data { link, left });
                    }
                    None => self.keep(byte),
                },
                _ => self.keep(byte),
            }
        }
    }

    /// Bytes were lost: gives up the data on its way and the line, up to the next line end. Says of which link data was
    /// given up.
    pub fn resynchronise(&mut self) -> Option<u8> {
        self.line.clear();
        self.given = false;
        let data = self.data.take();
        // Between two lines there is nothing to give up.
        self.deaf = data.is_some();
        data.map(|data| data.link)
    }

    fn keep(&mut self, byte: u8) {
        if self.line.push(byte).is_err() {
            self.line.clear();
            self.deaf = true;
        }
    }

    fn take_data<'i>(&mut self, input: &mut &'i [u8]) -> Option<Event<'i>> {
        let Data { link, left } = self.data?;
        let (bytes, rest) = input.split_at(left.min(input.len()));
        if bytes.is_empty() {
            return None;
        }
        *input = rest;
        let left = left - bytes.len();
        self.data = (left > 0).then_some(Data { link, left });
        Some(Event::Data { link, bytes, left })
    }
}

const _: () = assert!(LINKS_MAX <= 10, "a link's number is one digit");

#[cfg(test)]
mod tests;
