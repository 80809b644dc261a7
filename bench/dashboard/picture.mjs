// From the sensor to the picture: the desk device plays a ramp, whose height says when it was measured; the tip of the line that the page
// draws says so again. Nothing in between is asked.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from './chromium.mjs';
import { pause, until } from './server.mjs';
import { latencies, percentile } from './figures.mjs';

const DESK = 'desk_001';
const ROWS_PER_S = 100;
/** No multiple of the sensor's interval, so that each ramp is measured at other heights; longer than any picture is late. */
const RAMP_ROWS = 407;
const RAMP_MS = (1_000 * RAMP_ROWS) / ROWS_PER_S;
const VOLTS = [0.3, 3];

const ramp = () => {
  const at = (row) => VOLTS[0] + ((VOLTS[1] - VOLTS[0]) * row) / (RAMP_ROWS - 1);
  return ['PulseSig', ...Array.from({ length: RAMP_ROWS }, (_, row) => at(row).toFixed(4))].join('\n') + '\n';
};

// Notes where each line of a wave ends: when, how high (0 is the bottom), and how high its step before.
const noteTips = () => {
  window.tips = [];
  const pen = CanvasRenderingContext2D.prototype;
  const { beginPath, lineTo, stroke } = pen;
  pen.beginPath = function () {
    this.tip = this.before = null;
    return beginPath.call(this);
  };
  pen.lineTo = function (x, y) {
    if (this.canvas.parentElement?.classList.contains('wave')) [this.before, this.tip] = [this.tip, 1 - y / this.canvas.height];
    return lineTo.call(this, x, y);
  };
  pen.stroke = function (...args) {
    if (this.tip !== null && this.tip !== undefined) window.tips.push([performance.timeOrigin + performance.now(), this.tip, this.before]);
    return stroke.apply(this, args);
  };
};

export const picture = async (browser, server, scale) => {
  const file = join(server.home, 'ramp.csv');
  writeFileSync(file, ramp());
  const spawned = Date.now();
  const desk = server.desk(DESK, ['--recording', file, '--recording-rate', String(ROWS_PER_S)]);
  await desk.said('speaks');
  const said = Date.now();
  const scripts = [{ script: noteTips }];
  const { page, context, errors } = await open(browser, { url: server.url, cookie: await server.login(), scripts });
  await page.goto(`${server.url}/#/patient/${DESK}`);
  // Until the picture has its lateness and its scale.
  await until(() => page.evaluate(() => window.tips.length > 100), 'a wave of the desk device');
  await pause(scale.pictureSettleMs);
  await page.evaluate(() => (window.tips.length = 0));
  await pause(scale.pictureMs);
  const tips = await page.evaluate(() => window.tips);
  await context.close();
  await desk.stop();
  const found = latencies(tips, spawned, RAMP_MS);
  return {
    p50: percentile(found, 0.5),
    p95: percentile(found, 0.95),
    max: percentile(found, 1),
    pictures: found.length,
    /** The ramp began between the two, so that the figures are too large by no more than this. */
    tooLargeMs: said - spawned,
    errors,
  };
};
