'use strict';
// A waveform for a browser: the first, lowest, highest and last value of each column of time, in a window that moves. So a browser
// gets as much for 500 Hz as for 50, no peak is lost, and the line is the one that all values would give. A gap is never bridged:
// each column says when its first and its last value were.

const COLUMN_MS = 20;
const WINDOW_MS = 10_000;
const COLUMNS = WINDOW_MS / COLUMN_MS;
// What the clocks of server and Node-RED may differ before a newest value from the future is taken for a clock that was set back.
const AHEAD_MS = 5_000;
// Values of readings come as often as their device likes: what is usual is the median of so many distances.
const DISTANCES = 9;
// How much one arrival moves the right edge, so that one message that was held up does not make the curve jump; and from which
// difference on it does jump.
const EDGE_SHARE = 0.1;
const EDGE_JUMP_MS = 1_000;
// A distance of so many usual ones is a gap; of readings, which TCP may hold up, also at least so long.
const GAP_DISTANCES = 4;
const GAP_MS_MIN = 300;
const DIGITS = 6;

let generations = 0;

const median = (numbers) => [...numbers].sort((one, other) => one - other)[numbers.length >> 1];

class Trace {
  // By column modulo COLUMNS: bounded, whatever times come.
  #ring = Array(COLUMNS).fill(undefined);
  #newest_ms = -Infinity;
  #changed = new Set();
  #distances = [];
  #gap_ms = GAP_MS_MIN;
  #span_ms = 0;
  #skew_ms;
  #generation = ++generations;

  // Values at an even distance, from `t0_ms` on.
  addWaveform({ t0_ms, interval_ms, uncertainty_ms, values }, now_ms) {
    this.#gap_ms = 1.5 * interval_ms + Math.min(uncertainty_ms, COLUMN_MS);
    this.#span_ms = interval_ms * values.length;
    const before_ms = this.#newest_ms;
    values.forEach((value, index) => this.#add(t0_ms + index * interval_ms, value, now_ms));
    if (this.#newest_ms !== before_ms) this.#arrived(now_ms);
  }

  // One value of a reading.
  addValue(time_ms, value, now_ms) {
    const before_ms = this.#newest_ms;
    const distance_ms = time_ms - before_ms;
    if (distance_ms > 0 && Number.isFinite(distance_ms)) {
      this.#distances = [...this.#distances, distance_ms].slice(-DISTANCES);
      this.#gap_ms = Math.max(GAP_MS_MIN, GAP_DISTANCES * median(this.#distances));
    }
    this.#add(time_ms, value, now_ms);
    if (this.#newest_ms !== before_ms) this.#arrived(now_ms);
  }

  // For a browser that has nothing yet (`all`), or of what changed since this was last called without it.
  points({ all }) {
    const oldest = this.#newest() - COLUMNS;
    const columns = all ? this.#ring.filter(Boolean) : [...this.#changed].map((column) => this.#ring[slot(column)]);
    if (!all) this.#changed.clear();
    return columns
      .filter((point) => point && point.column > oldest)
      .sort((one, other) => one.column - other.column)
      .map(({ column, min, max, first, last }) => {
        const offset = ({ time_ms }) => Math.round(time_ms - column * COLUMN_MS);
        return [column, round(min), round(max), offset(first), offset(last), round(first.value), round(last.value)];
      });
  }

  // What a browser needs beside the points: those of another generation are no part of this curve. The right edge of the chart at the time `now` of Node-RED is at `now + edge_ms`.
  frame() {
    const edge_ms = Math.round((this.#skew_ms ?? 0) - this.#span_ms);
    return { generation: this.#generation, column_ms: COLUMN_MS, window_ms: WINDOW_MS, gap_ms: this.#gap_ms, edge_ms };
  }

  #newest() {
    return Math.floor(this.#newest_ms / COLUMN_MS);
  }

  #add(time_ms, value, now_ms) {
    if (!Number.isFinite(value) || !Number.isFinite(time_ms)) return;
    if (this.#newest_ms > now_ms + AHEAD_MS && time_ms < this.#newest_ms) this.#restart();
    const column = Math.floor(time_ms / COLUMN_MS);
    if (column <= this.#newest() - COLUMNS) return;
    const point = this.#ring[slot(column)];
    if (point?.column === column) {
      point.min = Math.min(point.min, value);
      point.max = Math.max(point.max, value);
      if (time_ms < point.first.time_ms) point.first = { time_ms, value };
      if (time_ms >= point.last.time_ms) point.last = { time_ms, value };
    } else {
      const only = { time_ms, value };
      this.#ring[slot(column)] = { column, min: value, max: value, first: only, last: only };
      if (point) this.#changed.delete(point.column);
    }
    this.#changed.add(column);
    this.#newest_ms = Math.max(this.#newest_ms, time_ms);
  }

  #arrived(now_ms) {
    const skew_ms = Math.min(this.#newest_ms - now_ms, AHEAD_MS);
    const difference_ms = skew_ms - (this.#skew_ms ?? -Infinity);
    this.#skew_ms = Math.abs(difference_ms) > EDGE_JUMP_MS ? skew_ms : this.#skew_ms + EDGE_SHARE * difference_ms;
  }

  #restart() {
    this.#ring.fill(undefined);
    this.#changed.clear();
    this.#distances = [];
    this.#newest_ms = -Infinity;
    this.#generation = ++generations;
  }
}

const slot = (column) => ((column % COLUMNS) + COLUMNS) % COLUMNS;
const round = (value) => Number(value.toPrecision(DIGITS));

module.exports = { AHEAD_MS, COLUMNS, COLUMN_MS, Trace, WINDOW_MS };
