// Draws a wave of the past on a canvas: what was measured, where nothing was, beats, and times below.
import type { Piece } from './kept.ts';
import { type Span, type View, barOf, follow, holes, stepMs, xAt } from './strip.ts';
import type { Scale } from './sweep.ts';

export interface Paper {
  view: View;
  heightPx: number;
  /** Device pixels in one of a style sheet; all lengths here are of style sheets. */
  ratio: number;
  scale: Scale;
  nominalMs: number;
  linePx: number;
  colours: { wave: string; soft: string; line: string; text: string };
}

/** Below the wave, for times. */
export const AXIS_PX = 18;
const MARK_PX = 5;

export const begin = (canvas: HTMLCanvasElement, widthPx: number, heightPx: number): CanvasRenderingContext2D | null => {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [Math.max(1, Math.round(widthPx * ratio)), Math.max(1, Math.round(heightPx * ratio))];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext('2d');
  pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen?.clearRect(0, 0, widthPx, heightPx);
  return pen;
};

export const coloursOf = (element: Element) => {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim() || '#888';
  return { wave: of('--wave'), soft: of('--soft'), line: of('--line'), text: of('--text') };
};

/** Vertical lines each `ms`, and a stronger one each fifth. */
export const grid = (pen: CanvasRenderingContext2D, { view, colours, heightPx }: Paper, ms: number) => {
  pen.fillStyle = colours.line;
  for (let at = Math.ceil(view.fromMs / ms); at * ms <= view.toMs; at++) {
    pen.fillRect(Math.round(xAt(at * ms, view)), 0, at % 5 === 0 ? 2 : 1, heightPx);
  }
};

export const line = (pen: CanvasRenderingContext2D, pieces: readonly Piece[], paper: Paper, topPx = 0) => {
  const { scale, heightPx, view, nominalMs } = paper;
  const perUnit = heightPx / (scale[1] - scale[0]);
  pen.strokeStyle = paper.colours.wave;
  pen.lineWidth = paper.linePx;
  pen.lineJoin = 'round';
  pen.lineCap = 'round';
  pen.beginPath();
  follow(pieces, view, nominalMs, (x, value, start) => {
    const y = topPx + heightPx - (value - scale[0]) * perUnit;
    if (start) pen.moveTo(x, y);
    pen.lineTo(x, y);
  });
  pen.stroke();
};

/** Hatches what was not measured, with why. */
export const gaps = (
  pen: CanvasRenderingContext2D,
  pieces: readonly Piece[],
  paper: Paper,
  why: (span: Span) => string,
  topPx = 0,
) => {
  const { view, colours, heightPx, nominalMs } = paper;
  for (const span of holes(pieces, view.fromMs, view.toMs, nominalMs)) hatch(pen, span, view, colours, topPx, heightPx, why(span));
};

export const hatch = (
  pen: CanvasRenderingContext2D,
  span: Span,
  view: View,
  colours: Paper['colours'],
  topPx: number,
  heightPx: number,
  words: string,
) => {
  const [left, right] = [Math.max(0, xAt(span[0], view)), Math.min(view.widthPx, xAt(span[1], view))];
  if (right - left < 1) return;
  pen.save();
  pen.beginPath();
  pen.rect(left, topPx, right - left, heightPx);
  pen.clip();
  pen.strokeStyle = colours.line;
  pen.lineWidth = 1;
  pen.beginPath();
  const begin = left - (left % 10) - heightPx;
  for (let x = begin; x < right; x += 10) {
    pen.moveTo(x, topPx + heightPx);
    pen.lineTo(x + heightPx, topPx);
  }
  pen.stroke();
  pen.font = '13px system-ui, sans-serif';
  pen.fillStyle = colours.soft;
  pen.textBaseline = 'middle';
  const length = pen.measureText(words).width + 8;
  if (length < right - left) pen.fillText(words, left + 4, topPx + heightPx / 2);
  else if (length < heightPx && right - left > 16) {
    // Upright, where there is more room.
    pen.translate((left + right) / 2, topPx + heightPx - 4);
    pen.rotate(-Math.PI / 2);
    pen.fillText(words, 0, 0);
  }
  pen.restore();
};

/** How high something is: a bar with its length in the unit. */
export const measureBar = (pen: CanvasRenderingContext2D, { scale, heightPx, colours }: Paper, unit: string) => {
  const height = barOf(scale, heightPx);
  if (height === null) return;
  const px = (height / (scale[1] - scale[0])) * heightPx;
  pen.fillStyle = colours.soft;
  pen.fillRect(6, heightPx - 8 - px, 2, px);
  pen.font = '12px system-ui, sans-serif';
  pen.textBaseline = 'middle';
  pen.fillText(`${height} ${unit}`, 12, heightPx - 8 - px / 2);
};

/** A mark above each beat, and between two, where there is room, how many milliseconds they are apart. */
export const beats = (pen: CanvasRenderingContext2D, beatsMs: readonly number[], { view, colours }: Paper, hasNumbers: boolean) => {
  pen.fillStyle = colours.text;
  pen.font = '11px system-ui, sans-serif';
  pen.textAlign = 'center';
  pen.textBaseline = 'top';
  beatsMs.forEach((ms, at) => {
    const x = xAt(ms, view);
    mark(pen, x);
    const beforeMs = beatsMs[at - 1];
    if (!hasNumbers || beforeMs === undefined || ms - beforeMs > 3_000) return;
    const words = (ms - beforeMs).toFixed(0);
    if (xAt(ms, view) - xAt(beforeMs, view) > 40) pen.fillText(words, (x + xAt(beforeMs, view)) / 2, 1);
  });
  pen.textAlign = 'start';
};

/** A triangle that points down to a beat. */
export const mark = (pen: CanvasRenderingContext2D, x: number, px = MARK_PX) => {
  pen.beginPath();
  pen.moveTo(x - px, 0);
  pen.lineTo(x + px, 0);
  pen.lineTo(x, 1.6 * px);
  pen.fill();
};

/** Times below the wave. */
export const axis = (pen: CanvasRenderingContext2D, paper: Paper, words: (ms: number, step: number) => string) => {
  const { view, colours, heightPx } = paper;
  const step = stepMs(view, 90);
  pen.fillStyle = colours.soft;
  pen.font = '12px system-ui, sans-serif';
  pen.textBaseline = 'bottom';
  for (let at = Math.ceil(view.fromMs / step); at * step <= view.toMs; at++) {
    const x = xAt(at * step, view);
    pen.fillRect(Math.round(x), heightPx, 1, 5);
    if (x + 70 < view.widthPx) pen.fillText(words(at * step, step), x + 4, heightPx + AXIS_PX);
  }
};
