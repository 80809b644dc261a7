//! Sensors of a test: what the parts do on their buses, by their data sheets, with faults to be switched on.

extern crate std;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;

use embedded_hal_async::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

use super::{Adc, AdcInput, OneWire};
use crate::clock::Clock;
use crate::test_clock::TestClock;

/// What is wrong with a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// No part answers.
    Absent,
    /// The bus never ends a transfer.
    Stuck,
    /// Another part answers.
    Other,
}

/// A movement sensor that measures `raw`: x, y, z, temperature.
#[derive(Clone)]
pub(crate) struct VirtualMpu(Rc<MpuState>);

struct MpuState {
    clock: TestClock,
    raw: Cell<[i16; 4]>,
    fault: Cell<Fault>,
    registers: RefCell<[u8; 128]>,
    fifo: RefCell<VecDeque<u8>>,
    next_us: Cell<u64>,
    pointer: Cell<usize>,
}

impl VirtualMpu {
    pub(crate) fn new(clock: TestClock, raw: [i16; 4]) -> Self {
        let state = MpuState {
            clock,
            raw: Cell::new(raw),
            fault: Cell::new(Fault::None),
            registers: RefCell::new([0; 128]),
            fifo: RefCell::default(),
            next_us: Cell::new(0),
            pointer: Cell::new(0),
        };
        let mpu = Self(Rc::new(state));
        mpu.lose_power();
        mpu
    }

    pub(crate) fn set_raw(&self, raw: [i16; 4]) {
        self.fill();
        self.0.raw.set(raw);
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.0.fault.set(fault);
    }

    /// The registers' values after power-on.
    pub(crate) fn lose_power(&self) {
        let mut registers = self.0.registers.borrow_mut();
        *registers = [0; 128];
        registers[0x6b] = 0x40;
        registers[0x75] = 0x68;
        self.0.fifo.borrow_mut().clear();
    }

    pub(crate) fn register(&self, address: usize) -> u8 {
        self.0.registers.borrow()[address]
    }

    /// Samples come into the FIFO, if the setup says so.
    fn fill(&self) {
        let state = &*self.0;
        let registers = state.registers.borrow();
        let is_on = registers[0x6a] & 0x40 > 0 && registers[0x23] == 0x88 && registers[0x6b] & 0x40 == 0;
        let interval_us = (1 + u64::from(registers[0x19])) * 1_000;
        let now_us = state.clock.now_us();
        while state.next_us.get() <= now_us {
            state.next_us.set(state.next_us.get() + interval_us);
            if is_on {
                let mut fifo = state.fifo.borrow_mut();
                fifo.extend(state.raw.get().into_iter().flat_map(i16::to_be_bytes));
                let over = fifo.len().saturating_sub(1_024);
                fifo.drain(..over);
            }
        }
    }

    fn take(&self, bytes: &[u8]) {
        let Some((pointer, values)) = bytes.split_first() else { return };
        self.0.pointer.set(usize::from(*pointer));
        for value in values {
            let pointer = self.0.pointer.replace(self.0.pointer.get() + 1);
            if (pointer, value & 0x04) == (0x6a, 0x04) {
                self.0.fifo.borrow_mut().clear();
            }
            self.0.registers.borrow_mut()[pointer] = *value;
        }
    }

    fn give(&self, bytes: &mut [u8]) {
        let count = u16::try_from(self.0.fifo.borrow().len()).unwrap().to_be_bytes();
        for byte in bytes {
            let pointer = self.0.pointer.get();
            if pointer == 0x74 {
                *byte = self.0.fifo.borrow_mut().pop_front().unwrap_or(0xff);
                continue;
            }
            self.0.pointer.set(pointer + 1);
            *byte = match pointer {
                0x72 => count[0],
                0x73 => count[1],
                _ => self.register(pointer),
            };
        }
    }
}

impl ErrorType for VirtualMpu {
    type Error = ErrorKind;
}

impl I2c for VirtualMpu {
    async fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        match self.0.fault.get() {
            Fault::Stuck => pending().await,
            Fault::Absent => return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)),
            Fault::Other => self.0.registers.borrow_mut()[0x75] = 0x70,
            Fault::None => {}
        }
        assert_eq!(address, 0x68);
        self.fill();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => self.take(bytes),
                Operation::Read(bytes) => self.give(bytes),
            }
        }
        Ok(())
    }
}

/// A thermometer, at the level of bytes.
#[derive(Clone)]
pub(crate) struct VirtualThermometer(Rc<ThermometerState>);

pub(crate) struct ThermometerState {
    clock: TestClock,
    /// What it measures, in sixteenths of a degree.
    pub(crate) raw: Cell<i16>,
    /// No sensor answers.
    pub(crate) is_absent: Cell<bool>,
    /// So many scratchpads come altered.
    pub(crate) altered: Cell<u32>,
    /// The line is stuck low, but for presence.
    pub(crate) is_low: Cell<bool>,
    pub(crate) configuration: Cell<u8>,
    register: Cell<i16>,
    /// When a conversion ends.
    done_us: Cell<Option<u64>>,
    written: RefCell<std::vec::Vec<u8>>,
    to_read: RefCell<VecDeque<u8>>,
}

impl std::ops::Deref for VirtualThermometer {
    type Target = ThermometerState;

    fn deref(&self) -> &ThermometerState {
        &self.0
    }
}

impl VirtualThermometer {
    pub(crate) fn new(clock: TestClock, raw: i16) -> Self {
        Self(Rc::new(ThermometerState {
            clock,
            raw: Cell::new(raw),
            is_absent: Cell::new(false),
            altered: Cell::new(0),
            is_low: Cell::new(false),
            configuration: Cell::new(0x7f),
            register: Cell::new(0x0550),
            done_us: Cell::new(None),
            written: RefCell::default(),
            to_read: RefCell::default(),
        }))
    }

    pub(crate) fn lose_power(&self) {
        self.register.set(0x0550);
        self.done_us.set(None);
    }

    fn scratchpad(&self) -> [u8; 9] {
        if self.done_us.get().is_some_and(|done_us| done_us <= self.clock.now_us()) {
            self.done_us.set(None);
            self.register.set(self.raw.get());
        }
        let [low, high] = self.register.get().to_le_bytes();
        let mut bytes = [low, high, 0x4b, 0x46, self.configuration.get(), 0xff, 0x0c, 0x10, 0];
        bytes[8] = crc8_by_table(&bytes[..8]);
        if self.altered.get() > 0 {
            self.altered.set(self.altered.get() - 1);
            bytes[1] ^= 0x10;
        }
        if self.is_low.get() { [0; 9] } else { bytes }
    }
}

/// The same CRC as the driver's in another way: division of the polynomial, bit by bit, in the order of the wire.
fn crc8_by_table(bytes: &[u8]) -> u8 {
    let mut register = 0_u8;
    for bit in bytes.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1)) {
        let feedback = (register >> 7) ^ bit;
        register = (register << 1) ^ (feedback * 0x31);
    }
    register.reverse_bits()
}

impl OneWire for VirtualThermometer {
    async fn reset(&mut self) -> bool {
        self.written.borrow_mut().clear();
        self.to_read.borrow_mut().clear();
        !self.is_absent.get()
    }

    async fn write_byte(&mut self, byte: u8) {
        let mut written = self.written.borrow_mut();
        written.push(byte);
        match written[..] {
            [0xcc, 0x44] => self.done_us.set(Some(self.clock.now_us() + 750_000)),
            [0xcc, 0xbe] => *self.to_read.borrow_mut() = self.scratchpad().into(),
            [0xcc, 0x4e, 0x4b, 0x46, configuration] => self.configuration.set(configuration),
            _ => {}
        }
    }

    async fn read_byte(&mut self) -> u8 {
        self.to_read.borrow_mut().pop_front().unwrap_or(0xff)
    }
}

/// A converter whose inputs have these values; `None`: it fails.
#[derive(Clone)]
pub(crate) struct VirtualAdc(Rc<dyn Fn(AdcInput) -> Option<u16>>);

impl VirtualAdc {
    pub(crate) fn new(value: impl Fn(AdcInput) -> Option<u16> + 'static) -> Self {
        Self(Rc::new(value))
    }
}

impl Adc for VirtualAdc {
    async fn read(&mut self, input: AdcInput) -> Option<u16> {
        (self.0)(input)
    }
}
