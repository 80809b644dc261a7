// Runs a Pico beside the real world: its time goes at most as fast as wall time times `speed`. Where this machine is too slow
// the emulated time falls behind and never catches up by running faster than that, since a program's time-out would then
// end before the network, which keeps wall time, could answer.

import { setTimeout as sleep } from 'node:timers/promises';
import { setImmediate as yieldToEvents } from 'node:timers/promises';

import { MILLISECOND } from './world-clock.mjs';

/** Lag that is still made up for: what a busy event loop makes. */
const LAG_NANOS_MAX = 50 * MILLISECOND;
/** Emulated at once, before wall time is looked at. */
const SLICE_NANOS = MILLISECOND / 4;
/** Sockets and timers of Node get a turn at least this often. */
const TURN_MILLIS = 8;

export class Pace {
  #running = null;
  #stop = false;
  /** Emulated time that was dropped, because the machine was too slow. */
  dropped_nanos = 0;

  constructor(pico, { speed = 1 } = {}) {
    Object.assign(this, { pico, speed });
  }

  start() {
    this.#stop = false;
    this.#running ??= this.#loop();
    // The caller of stop() sees what went wrong; until then it must not end the process unseen.
    this.#running.catch(() => this.pico.emit('pace-failed'));
  }

  /** Waits until it stands still. Throws what the loop threw. */
  async stop() {
    this.#stop = true;
    this.pico.stop();
    const running = this.#running;
    this.#running = null;
    await running;
  }

  async #loop() {
    let due_nanos = 0;
    let wall_millis = performance.now();
    while (!this.#stop) {
      const now_millis = performance.now();
      due_nanos += (now_millis - wall_millis) * MILLISECOND * this.speed;
      wall_millis = now_millis;
      if (due_nanos > LAG_NANOS_MAX) {
        this.dropped_nanos += due_nanos - LAG_NANOS_MAX;
        due_nanos = LAG_NANOS_MAX;
      }
      due_nanos -= this.#turn(due_nanos, now_millis + TURN_MILLIS);
      if (due_nanos >= SLICE_NANOS) await yieldToEvents();
      else await sleep(1);
    }
  }

  /** Emulates until the time due or the turn is over; returns how much it emulated. */
  #turn(due_nanos, end_millis) {
    const { world } = this.pico;
    const begin = world.nanos;
    let left_nanos = due_nanos;
    // Less than a nanosecond is nothing that can be run.
    while (left_nanos >= 1 && performance.now() < end_millis && !this.#stop) {
      this.pico.run(world.nanos + Math.min(SLICE_NANOS, left_nanos));
      left_nanos = due_nanos - (world.nanos - begin);
    }
    return due_nanos - left_nanos;
  }
}
