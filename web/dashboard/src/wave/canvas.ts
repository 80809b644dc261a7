// Draws one wave, to which each frame adds a step; and where there is a layer below, seconds on that, once a size.
import type { Playout } from './playout.ts';
import type { WaveRing } from './ring.ts';
import type { Painter } from './painting.ts';
import { mark } from './paper.ts';
import { BAR_PX, type Scale, type Window, isClipped, isWhole, leastSpan, lineFrom, scaleFor, trace, windowMs, wiped, xOf } from './sweep.ts';

export interface Source {
  ring: WaveRing;
  playout: Playout;
  unit: string;
  /** Beats to mark, in the order of time. */
  beatsMs: readonly number[];
}

export interface Look {
  mmPerS: number;
  linePx: number;
}

/** Half the width of the mark of a beat. */
const MARK_PX = 4;
/** Looking at the extremes of a short time at each frame is enough to see a wave leave its picture. */
const CLIP_LOOKED_AT_MS = 250;

export class SweepCanvas implements Painter {
  #grid: CanvasRenderingContext2D | null;
  #trace: CanvasRenderingContext2D;
  #window: Window = { ms: 1_000, widthPx: 0 };
  #heightPx = 0;
  #ratio = 1;
  #drawnMs = Number.NaN;
  /** The last beat that was marked. */
  #markedMs = Number.NEGATIVE_INFINITY;
  /** The newest value that was there when it was drawn. */
  #newestMs = Number.NaN;
  #scale: Scale | null = null;
  #source: () => Source | null;
  #look: Look;
  #colours = { wave: '#fff', line: '#333', mark: '#fff' };

  constructor(
    grid: HTMLCanvasElement | null,
    wave: HTMLCanvasElement,
    source: () => Source | null,
    look: Look,
  ) {
    this.#source = source;
    this.#look = look;
    this.#grid = grid && context(grid);
    this.#trace = context(wave);
  }

  /** Takes a size in pixels of a style sheet, and colours as they are there now. */
  resize(widthPx: number, heightPx: number) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [Math.max(1, Math.round(widthPx * ratio)), Math.max(1, Math.round(heightPx * ratio))];
    for (const layer of [this.#grid, this.#trace]) if (layer) Object.assign(layer.canvas, { width, height });
    this.#ratio = ratio;
    this.#heightPx = height;
    this.#window = { ms: windowMs(widthPx, this.#look.mmPerS), widthPx: width };
    const style = getComputedStyle(this.#trace.canvas);
    this.#colours = { wave: style.color, line: style.getPropertyValue('--line').trim() || '#333', mark: style.getPropertyValue('--text').trim() || '#fff' };
    this.#drawSeconds();
    this.repaint();
  }

  /** The next frame draws the picture whole. */
  repaint() {
    this.#drawnMs = Number.NaN;
  }

  paint(nowMs: number) {
    const source = this.#source();
    if (source === null || this.#window.widthPx === 0) return;
    const toMs = source.playout.playheadMs(nowMs);
    if (Number.isNaN(toMs)) return;
    const fromMs = this.#drawnMs;
    const isNewSweep = Math.floor(fromMs / this.#window.ms) !== Math.floor(toMs / this.#window.ms);
    if (isWhole(fromMs, toMs, this.#window)) this.#whole(source, toMs);
    else if (isNewSweep || this.#isClipped(source, toMs)) this.#rescale(source, fromMs, toMs);
    else this.#step(source, fromMs, toMs);
    this.#mark(source, toMs);
    this.#drawnMs = toMs;
    this.#newestMs = source.ring.newestMs;
  }

  #isClipped({ ring }: Source, toMs: number): boolean {
    const extremes = ring.extremes(toMs - CLIP_LOOKED_AT_MS, toMs);
    return extremes !== null && (this.#scale === null || isClipped(this.#scale, extremes));
  }

  #rescale(source: Source, fromMs: number, toMs: number) {
    const before = this.#scale;
    this.#scale = this.#scaleOf(source, toMs);
    if (before === this.#scale) this.#step(source, fromMs, toMs);
    else this.#whole(source, toMs);
  }

  #scaleOf({ ring, unit }: Source, toMs: number): Scale | null {
    return scaleFor(this.#scale, ring.extremes(toMs - this.#window.ms, toMs), leastSpan(unit));
  }

  #whole(source: Source, toMs: number) {
    this.#scale = this.#scaleOf(source, toMs);
    this.#trace.clearRect(0, 0, this.#window.widthPx, this.#heightPx);
    const barMs = ((BAR_PX * this.#ratio) / this.#window.widthPx) * this.#window.ms;
    this.#line(source, toMs - this.#window.ms + barMs, toMs);
    this.#markedMs = Number.NEGATIVE_INFINITY;
  }

  // A beat is known only a second or two after it was drawn.
  #mark({ beatsMs }: Source, toMs: number) {
    const oldestMs = toMs - this.#window.ms * 0.95;
    for (let at = beatsMs.length - 1; at >= 0; at--) {
      const ms = beatsMs[at] as number;
      if (ms <= this.#markedMs || ms < oldestMs) break;
      if (ms > toMs) continue;
      this.#trace.fillStyle = this.#colours.mark;
      mark(this.#trace, xOf(ms, this.#window), MARK_PX * this.#ratio);
    }
    const shown = beatsMs.findLast((ms) => ms <= toMs);
    if (shown !== undefined) this.#markedMs = Math.max(this.#markedMs, shown);
  }

  #step(source: Source, fromMs: number, toMs: number) {
    wiped(fromMs, toMs, BAR_PX * this.#ratio, this.#window).forEach(([from, to], at) => {
      // The end of what was drawn before reaches a little into it.
      const left = at === 0 ? Math.ceil(from + this.#look.linePx * this.#ratio) : 0;
      const right = Math.ceil(to);
      if (right > left) this.#trace.clearRect(left, 0, right - left, this.#heightPx);
    });
    this.#line(source, lineFrom(fromMs, this.#newestMs, toMs, BAR_PX * this.#ratio, this.#window), toMs);
  }

  #line({ ring }: Source, fromMs: number, toMs: number) {
    if (this.#scale === null) return;
    const [low, high] = this.#scale;
    const pen = this.#trace;
    const perUnit = this.#heightPx / (high - low);
    pen.strokeStyle = this.#colours.wave;
    pen.lineWidth = this.#look.linePx * this.#ratio;
    pen.lineJoin = 'round';
    pen.lineCap = 'round';
    pen.beginPath();
    trace(ring, fromMs, toMs, this.#window, (x, value, start) => {
      const y = this.#heightPx - (value - low) * perUnit;
      if (start) pen.moveTo(x, y);
      else pen.lineTo(x, y);
    });
    pen.stroke();
  }

  #drawSeconds() {
    const pen = this.#grid;
    if (pen === null) return;
    pen.clearRect(0, 0, this.#window.widthPx, this.#heightPx);
    pen.fillStyle = this.#colours.line;
    for (let ms = 1_000; ms < this.#window.ms; ms += 1_000) {
      pen.fillRect(Math.round(xOf(ms, this.#window)), 0, Math.max(1, Math.round(this.#ratio / 2)), this.#heightPx);
    }
  }
}

const context = (canvas: HTMLCanvasElement): CanvasRenderingContext2D => {
  const drawing = canvas.getContext('2d');
  if (drawing === null) throw new Error('this browser cannot draw');
  return drawing;
};
