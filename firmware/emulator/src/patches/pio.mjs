// PIO state machines run on the chip's clock, at their divider. rp2040js runs them from setTimeout, unrelated to the time
// that the processor sees, so that OneWire slots have any length.

const CTRL = 0x00;
const WAIT_OUT = 5;
const OUT_SHIFT_LEN = 32;
const DIVIDER_OF_ZERO = 65_536;

export function patchPio(rp) {
  for (const pio of rp.pio) lockToClock(rp, pio);
}

function lockToClock(rp, pio) {
  const { writeUint32 } = pio;
  const starts = pio.machines.map((machine) => stepOnClock(rp, pio, machine));
  pio.run = () => starts.forEach((start) => start());
  pio.writeUint32 = function write(offset, value) {
    writeUint32.call(this, offset, value);
    // A machine that is enabled beside running ones starts too; rp2040js runs only the first.
    if (offset === CTRL) this.run();
  };
}

/** Gives back a function that starts the machine if it is enabled and does not run yet. */
function stepOnClock(rp, pio, machine) {
  let isRunning = false;
  const cycle_nanos = () =>
    ((machine.clockDivInt || DIVIDER_OF_ZERO) + machine.clockDivFrac / 256) * (1e9 / rp.clkSys);
  const alarm = rp.clock.createAlarm(() => {
    isRunning = machine.enabled;
    if (!isRunning) return;
    const before = machine.cycles;
    machine.step();
    pio.checkChangedPins();
    alarm.schedule(cycle_nanos() * Math.max(1, machine.cycles - before));
  });
  keepStalls(machine);
  return () => {
    if (isRunning || !machine.enabled) return;
    isRunning = true;
    alarm.schedule(cycle_nanos());
  };
}

/** A machine that is not enabled stays where it waits, and an instruction forced on it replaces the one that waits. */
function keepStalls(machine) {
  const { checkWait, executeInstruction, step } = machine;
  let isStepping = false;
  machine.checkWait = function check() {
    if (this.enabled) checkWait.call(this);
  };
  machine.step = function stepOnce() {
    isStepping = true;
    step.call(this);
    isStepping = false;
  };
  machine.executeInstruction = function execute(opcode) {
    if (!isStepping && this.waiting) {
      this.waiting = false;
      // The instruction that waited for data is tried again (datasheet §3.4.5), so its shift register is still empty.
      if (this.waitType === WAIT_OUT) this.outputShiftCount = OUT_SHIFT_LEN;
    }
    return executeInstruction.call(this, opcode);
  };
}
