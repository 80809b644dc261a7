// 16 patients × 250 Hz in the ward, the same in Node-RED, and 200 tiles: main thread, frames, long tasks, heap.
import { heapBytes, open, traced } from './chromium.mjs';
import { charts, nodeRedPage } from './nodered.mjs';
import { pause } from './server.mjs';

const figures = ({ wall, cpu, framesPerS, frameGapMs, long, longOfCpu, longestMs, parts }) => ({
  wall,
  cpu,
  framesPerS,
  frameGapMs,
  long,
  longOfCpu,
  longestMs,
  parts,
});

const ward = async (browser, server, tiles, options = {}) => {
  const opened = await open(browser, { url: server.url, cookie: await server.login(), ...options });
  await opened.page.goto(server.url);
  await opened.page.locator('.tile').nth(tiles - 1).waitFor({ state: 'attached' });
  return opened;
};

// Windows of a trace at the begin and at the end of a long look; the heap all the time.
export const ours = async (browser, server, scale) => {
  const { page, context, errors } = await ward(browser, server, scale.patients);
  await pause(scale.settleMs);
  const first = await traced(browser, page, scale.traceMs);
  const heaps = [await heapBytes(page)];
  for (const end = performance.now() + scale.heapMs; performance.now() < end; ) {
    await pause(scale.heapEveryMs);
    heaps.push(await heapBytes(page));
  }
  const last = await traced(browser, page, scale.traceMs);
  await context.close();
  return { ...figures(first), later: figures(last), heapMb: heaps.map((bytes) => bytes / 1e6), errors };
};

// The same data in Node-RED: our page for it, and its own chart.
export const peers = async (ends, browser, server, scale) => {
  const found = {};
  for (const [name, start] of [['page', nodeRedPage], ['chart', charts]]) {
    const { url, enter, stop } = await start(ends, server, scale.patients);
    const { page, context } = await open(browser, { url });
    try {
      await enter(page);
      await pause(scale.settleMs);
      found[name] = { ...figures(await traced(browser, page, scale.traceMs)), heapMb: (await heapBytes(page)) / 1e6 };
    } catch (error) {
      // Ours are figures still.
      console.error(`**Not measured**: Node-RED, ${name}: ${error.message}`);
    }
    await context.close();
    await stop();
  }
  return found;
};

// How much of a ward that does not fit is drawn, and what it costs.
export const crowd = async (browser, server, count, scale) => {
  const counted = () => {
    window.drawn = new Set();
    const stroke = CanvasRenderingContext2D.prototype.stroke;
    CanvasRenderingContext2D.prototype.stroke = function (...args) {
      window.drawn.add(this.canvas);
      return stroke.apply(this, args);
    };
  };
  const { page, context, errors } = await ward(browser, server, count, { scripts: [{ script: counted }] });
  await pause(scale.settleMs);
  const at = async () => {
    const seen = await page.evaluate(() => {
      window.drawn.clear();
      const inView = ({ top, bottom }) => bottom > 0 && top < innerHeight;
      return [...document.querySelectorAll('.tile')].filter((tile) => inView(tile.getBoundingClientRect())).length;
    });
    const main = await traced(browser, page, scale.traceMs);
    return { ...figures(main), seen, drawn: await page.evaluate(() => window.drawn.size) };
  };
  const top = await at();
  await page.locator('.tile').nth(Math.floor(count / 2)).scrollIntoViewIfNeeded();
  await pause(2_000);
  const middle = await at();
  const heapMb = (await heapBytes(page)) / 1e6;
  await context.close();
  return { top, middle, heapMb, errors };
};
