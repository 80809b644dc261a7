// The first load of a ward with nothing cached: bytes, and how long until it can be used, on this machine and over a slow line.
import { open } from './chromium.mjs';
import { slowLine } from './line.mjs';
import { percentile } from './figures.mjs';

/** Lighthouse's slow 4G: 1.6 Mbit/s and a round trip of 150 ms. */
const SLOW = { bytesPerS: 200_000, roundTripMs: 150 };
/** A long task within this time after the ward is there means that it could not be used yet. */
const QUIET_MS = 3_000;

// When all tiles stand there with their numbers, when the first wave is drawn, and all long tasks.
const watchLoad = (tiles) => {
  window.load = { longEndsMs: [] };
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) window.load.longEndsMs.push(startTime + duration);
  }).observe({ type: 'longtask', buffered: true });
  const stroke = CanvasRenderingContext2D.prototype.stroke;
  CanvasRenderingContext2D.prototype.stroke = function (...args) {
    window.load.waveMs ??= performance.now();
    return stroke.apply(this, args);
  };
  const look = () => {
    const numbers = [...document.querySelectorAll('.tile .temperature dd')];
    if (numbers.length >= tiles && numbers.every((it) => /\d/.test(it.textContent))) {
      // After the turn in which they came.
      setTimeout(() => (window.load.shownMs = performance.now()));
    } else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};

const once = async (browser, server, url, cookie, tiles) => {
  const { page, context, errors } = await open(browser, { url, cookie, scripts: [{ script: watchLoad, argument: tiles }] });
  await page.goto(url, { waitUntil: 'commit' });
  await page.waitForFunction(() => window.load?.shownMs !== undefined && window.load.waveMs !== undefined, null, { polling: 50 });
  const { shownMs } = await page.evaluate(() => window.load);
  await page.waitForTimeout(QUIET_MS);
  const { waveMs, longEndsMs } = await page.evaluate(() => window.load);
  await context.close();
  return { shownMs, waveMs, interactiveMs: Math.max(shownMs, ...longEndsMs.filter((end) => end < shownMs + QUIET_MS)), errors };
};

const median = (runs, of) => percentile(runs.map(of), 0.5);

export const load = async (ends, browser, server, scale) => {
  const runs = { near: [], slow: [] };
  let bytes = 0;
  const cookie = await server.login();
  for (let round = 0; round < scale.loads; round++) {
    runs.near.push(await once(browser, server, server.url, cookie, scale.patients));
    const line = await slowLine(ends, { port: server.slowPort, to: server.dashboardPort, ...SLOW });
    const slow = await once(browser, server, `http://127.0.0.1:${server.slowPort}`, cookie, scale.patients);
    await line.stop();
    bytes = Math.max(bytes, await transferred(browser, server, cookie, scale.patients));
    runs.slow.push(slow);
  }
  const of = (name) => ({
    interactiveMs: median(runs[name], (run) => run.interactiveMs),
    shownMs: median(runs[name], (run) => run.shownMs),
    waveMs: median(runs[name], (run) => run.waveMs),
  });
  return { near: of('near'), slow: of('slow'), bytes };
};

// Bytes of everything until the ward is there: heads and bodies, and what came over the live connection.
const transferred = async (browser, server, cookie, tiles) => {
  const { page, context } = await open(browser, { url: server.url, cookie, scripts: [{ script: watchLoad, argument: tiles }] });
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  let bytes = 0;
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
  session.on('Network.webSocketFrameReceived', ({ response }) => (bytes += Math.ceil((response.payloadData.length * 3) / 4)));
  await page.goto(server.url, { waitUntil: 'commit' });
  await page.waitForFunction(() => window.load?.shownMs !== undefined, null, { polling: 50 });
  await context.close();
  return bytes;
};
