// Whether a patient moves, as told by acceleration once a second.

export type Acceleration = readonly [x: number, y: number, z: number];

/** Of standard gravity: more than the noise of a sensor at rest, less than a turn in bed. */
const MOVES_G = 0.12;

/** The acceleration in values by name, if all three are known. */
export const accelerationOf = (values: Record<string, number | null>): Acceleration | null => {
  const [x, y, z] = ['x', 'y', 'z'].map((axis) => values[`Accelerometer/${axis}`] ?? null);
  return x == null || y == null || z == null ? null : [x, y, z];
};

/** From one second to the next; nothing when one of them is not known. */
export const moves = (before: Acceleration | null, now: Acceleration | null): boolean | null =>
  before === null || now === null
    ? null
    : Math.hypot(now[0] - before[0], now[1] - before[1], now[2] - before[2]) > MOVES_G;
