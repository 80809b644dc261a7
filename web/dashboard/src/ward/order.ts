// In which order tiles stand: what is wrong first. But a tile does not move while someone looks at it, and one that calmed down stays
// where it is for a while.

export interface Ranked {
  id: string;
  /** What people call the place, such as a bed's name. */
  name: string;
  urgency: number;
}

interface Placed {
  id: string;
  urgency: number;
  /** Since when its urgency is lower than what it is placed by; nothing while it is not. */
  calmSinceMs: number | null;
}

/** A tile keeps its place for so long after it became less urgent. */
export const CALM_MS = 30_000;

const names = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

export class Order {
  #placed = new Map<string, Placed>();
  #ids: string[] = [];

  /** The order now. `isHeld`: someone looks; nothing moves, new ones come last, and those that are gone leave. */
  arrange(tiles: readonly Ranked[], isHeld: boolean, nowMs: number): string[] {
    this.#placed = new Map(tiles.map((tile) => [tile.id, this.#place(tile, nowMs)]));
    const byId = new Map(tiles.map((tile) => [tile.id, tile]));
    const wanted = tiles
      .toSorted((a, b) => this.#urgency(b) - this.#urgency(a) || names.compare(a.name, b.name) || names.compare(a.id, b.id))
      .map(({ id }) => id);
    if (!isHeld) this.#ids = wanted;
    else {
      const stay = this.#ids.filter((id) => byId.has(id));
      this.#ids = [...stay, ...wanted.filter((id) => !stay.includes(id))];
    }
    return this.#ids;
  }

  #urgency({ id }: Ranked): number {
    return this.#placed.get(id)?.urgency ?? 0;
  }

  #place({ id, urgency }: Ranked, nowMs: number): Placed {
    const before = this.#placed.get(id);
    if (before === undefined || urgency >= before.urgency) return { id, urgency, calmSinceMs: null };
    const calmSinceMs = before.calmSinceMs ?? nowMs;
    return nowMs - calmSinceMs >= CALM_MS
      ? { id, urgency, calmSinceMs: null }
      : { id, urgency: before.urgency, calmSinceMs };
  }
}

/** Which of a ward's tiles a wall display shows when not all have room: it turns the pages over. */
export const page = (ids: readonly string[], room: number, turn: number): string[] => {
  const pages = Math.max(1, Math.ceil(ids.length / Math.max(1, room)));
  const first = (turn % pages) * Math.max(1, room);
  return ids.slice(first, first + Math.max(1, room));
};
