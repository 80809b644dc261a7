// An alarm of the timer fires when the counter has reached it. rp2040js rounds the time to go down to whole microseconds, so
// that a program is woken up to one too early, sees that, and spins until the counter is there.

const TIMER = 0x40054;
const [ALARM0, ALARM3] = [0x10, 0x1c];

export function patchTimer(rp) {
  const timer = rp.peripherals[TIMER];
  const { writeUint32 } = timer;
  timer.writeUint32 = function write(offset, value) {
    writeUint32.call(this, offset, value);
    if (offset < ALARM0 || offset > ALARM3) return;
    const now_micros = Math.floor(rp.clock.nanos / 1_000);
    const wait_micros = (value - now_micros) >>> 0;
    const alarm = this.alarms[(offset - ALARM0) / 4];
    alarm.clockAlarm.schedule((now_micros + wait_micros) * 1_000 - rp.clock.nanos);
  };
}
