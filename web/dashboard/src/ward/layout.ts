// How many columns a ward has: so that all tiles are as large as the screen allows, or, when they do not fit, of the least size.

export interface Grid {
  columns: number;
  rowPx: number;
  /** How many tiles are seen without scrolling. */
  room: number;
}

export const TILE_WIDTH_PX_MIN = 330;
export const TILE_HEIGHT_PX_MIN = 184;
const TILE_HEIGHT_PX_MAX = 420;
/** A tile that is wider than this times its height wins nothing. */
const RATIO = 1.9;
const GAP_PX = 8;

export const gridFor = (count: number, widthPx: number, heightPx: number): Grid => {
  const columnsMax = Math.max(1, Math.floor((widthPx + GAP_PX) / (TILE_WIDTH_PX_MIN + GAP_PX)));
  let best: { columns: number; rowPx: number; size: number } | null = null;
  for (let columns = 1; columns <= Math.min(columnsMax, Math.max(1, count)); columns++) {
    const rows = Math.ceil(count / columns);
    const tilePx = (widthPx - GAP_PX * (columns - 1)) / columns;
    const rowPx = Math.floor((heightPx - GAP_PX * (rows - 1)) / rows);
    if (rowPx < TILE_HEIGHT_PX_MIN) continue;
    const size = Math.min(tilePx / RATIO, rowPx, TILE_HEIGHT_PX_MAX);
    if (best === null || size > best.size) best = { columns, rowPx: Math.min(rowPx, TILE_HEIGHT_PX_MAX), size };
  }
  if (best !== null) return { columns: best.columns, rowPx: best.rowPx, room: Math.max(1, count) };
  const rows = Math.max(1, Math.floor((heightPx + GAP_PX) / (TILE_HEIGHT_PX_MIN + GAP_PX)));
  const rowPx = Math.max(TILE_HEIGHT_PX_MIN, Math.floor((heightPx - GAP_PX * (rows - 1)) / rows));
  return { columns: columnsMax, rowPx: Math.min(rowPx, TILE_HEIGHT_PX_MAX), room: columnsMax * rows };
};
