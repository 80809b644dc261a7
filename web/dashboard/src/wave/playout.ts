// When which part of a wave is shown. Values come in batches; a sweep that stood still between them would be unreadable. So the
// picture is late by the longest time that there was nothing new lately, and moves evenly.

/** So many milliseconds more than was needed lately. */
const MARGIN_MS = 40;
/** What was needed is remembered for so long. */
const REMEMBERED_MS = 10_000;
/** Beyond this the picture jumps to where it should be. */
const JUMP_MS = 1_500;
/** By how much the picture is faster or slower until it is where it should be. */
const CATCH_UP = 0.08;
/** What is older than what came before is a backlog, unless nothing newer came for so long: then the device's clock was put back. */
const SILENCE_MS = 5_000;
/** Never later than this, however irregular a device is: then the sweep waits. */
const LATE_MS_MAX = 4_000;

export class Playout {
  /** Time of the values minus time of the page, as it is and as it should be. */
  #offset = Number.NaN;
  #wanted = Number.NaN;
  #needs: { atMs: number; offset: number }[] = [];
  #endMs = Number.NaN;
  #endedAtMs = Number.NaN;
  #atMs = Number.NaN;

  /** Values from `firstMs` to `lastMs` came, by the clock of the page at `nowMs`. Whether they are the present, and no backlog. What is
   *  further from those before than `gapMs` is not late, but was not measured in between. */
  arrived(firstMs: number, lastMs: number, gapMs: number, nowMs: number): boolean {
    if (lastMs <= this.#endMs && nowMs - this.#endedAtMs < SILENCE_MS) return false;
    const follows = firstMs - this.#endMs <= gapMs;
    const isJump = !(lastMs > this.#endMs && lastMs - this.#endMs < 2 * LATE_MS_MAX);
    if (isJump) this.#needs = [{ atMs: nowMs, offset: firstMs - nowMs }];
    // Just before these came there was nothing beyond the end of those before.
    else if (follows) this.#needs.push({ atMs: nowMs, offset: this.#endMs - nowMs });
    this.#endMs = lastMs;
    this.#endedAtMs = nowMs;
    this.#needs = this.#needs.filter(({ atMs }) => nowMs - atMs <= REMEMBERED_MS);
    if (this.#needs.length === 0) this.#needs = [{ atMs: nowMs, offset: firstMs - nowMs }];
    const latest = Math.min(...this.#needs.map(({ offset }) => offset)) - MARGIN_MS;
    this.#wanted = Math.max(latest, lastMs - nowMs - LATE_MS_MAX);
    return true;
  }

  /** The time up to which values are shown now; NaN before any came. Never goes back unless it jumps. */
  playheadMs(nowMs: number): number {
    const passed = Number.isNaN(this.#atMs) ? 0 : Math.max(0, nowMs - this.#atMs);
    this.#atMs = nowMs;
    const off = this.#wanted - this.#offset;
    if (Number.isNaN(this.#offset) || Math.abs(off) > JUMP_MS) this.#offset = this.#wanted;
    else this.#offset += Math.sign(off) * Math.min(Math.abs(off), passed * CATCH_UP);
    return nowMs + this.#offset;
  }
}
