// The watchdog resets the chip (rp2040js only warns), and what outlives that reset is carried over: scratch registers, the
// reason, and the memory (datasheet §4.7, §2.12). A power cut carries nothing over.

const WATCHDOG = 0x40058;

/** `onReset` is called once, within the instruction that triggers it or the tick at which the time is over. */
export function patchWatchdog(rp, onReset) {
  const watchdog = rp.peripherals[WATCHDOG];
  let isTriggered = false;
  watchdog.onWatchdogTrigger = () => {
    if (isTriggered) return;
    isTriggered = true;
    watchdog.alarm.enable = false;
    watchdog.timer.enable = false;
    onReset();
  };
}

/** What outlives a watchdog reset. */
export function remains(rp) {
  const { scratchData, reason } = rp.peripherals[WATCHDOG];
  return { scratch: Uint32Array.from(scratchData), reason, sram: rp.sram };
}

export function carryOver(rp, { scratch, reason, sram }) {
  const watchdog = rp.peripherals[WATCHDOG];
  watchdog.scratchData.set(scratch);
  watchdog.reason = reason;
  rp.sram.set(sram);
}
