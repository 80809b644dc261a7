// The clock of a chip: emulated nanoseconds, and alarms at moments of it. It has the interface that rp2040js's parts expect
// of its own clock, which that package does not export.

class Alarm {
  nanos = 0;
  scheduled = false;
  #clock;

  constructor(clock, callback) {
    this.#clock = clock;
    this.callback = callback;
  }

  schedule(delay_nanos) {
    this.cancel();
    this.nanos = this.#clock.nanos + delay_nanos;
    this.#clock.insert(this);
  }

  cancel() {
    if (this.scheduled) this.#clock.remove(this);
  }
}

export class Clock {
  nanos = 0;
  /** The alarm that is due first. */
  nextAlarm = null;
  /** Scheduled alarms, the one due first last, as there it is cheap to take away. */
  #alarms = [];

  get micros() {
    return this.nanos / 1_000;
  }

  get nanosToNextAlarm() {
    return this.nextAlarm ? this.nextAlarm.nanos - this.nanos : 0;
  }

  createAlarm(callback) {
    return new Alarm(this, callback);
  }

  insert(alarm) {
    let place = this.#alarms.length;
    // Of alarms of the same moment the one that was set first comes first.
    while (place > 0 && this.#alarms[place - 1].nanos <= alarm.nanos) place--;
    this.#alarms.splice(place, 0, alarm);
    alarm.scheduled = true;
    this.nextAlarm = this.#alarms.at(-1);
  }

  remove(alarm) {
    this.#alarms.splice(this.#alarms.indexOf(alarm), 1);
    alarm.scheduled = false;
    this.nextAlarm = this.#alarms.at(-1) ?? null;
  }

  /** Time goes on; every alarm on the way is called at its moment. */
  tick(nanos) {
    this.advanceTo(this.nanos + nanos);
  }

  advanceTo(target) {
    while (this.nextAlarm !== null && this.nextAlarm.nanos <= target) {
      const alarm = this.nextAlarm;
      this.remove(alarm);
      // An alarm set for the past, which a timer's rounding can make, must not turn time back.
      if (alarm.nanos > this.nanos) this.nanos = alarm.nanos;
      alarm.callback();
    }
    if (target > this.nanos) this.nanos = target;
  }
}
