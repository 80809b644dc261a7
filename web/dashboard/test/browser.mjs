// A real browser for the tests of the page.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { PATIENCE_MS, launchOptions } from '../../../crates/web/test/chromium.mjs';

export { PATIENCE_MS };

export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1_280, height: 800 };
export const WALL = { width: 1_920, height: 1_080 };

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// What Playwright asks of a page counts as a gesture of its user, so that nothing would be blocked, but late. See `block`.
export const launch = () => chromium.launch(launchOptions('--autoplay-policy=no-user-gesture-required'));

// Listens to all that the page sends to the loudspeaker: `window.loudness()` is the level now, from 0 to 1.
export const listen = () => {
  let analyser = null;
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      analyser ??= new AnalyserNode(target.context, { fftSize: 32_768 });
      connect.call(this, analyser);
    }
    return connect.call(this, target, ...rest);
  };
  const level = (count) => {
    if (analyser === null) return 0;
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    return samples.slice(-count).reduce((top, it) => Math.max(top, Math.abs(it)), 0);
  };
  window.loudness = () => level(32_768);
  // Of the last hundredth of a second; and the pitch of what is heard, in hertz, while it is loud.
  window.loudnessNow = () => level(441);
  window.pitch = (now) => {
    if (now < 0.2) return null;
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const top = bins.reduce((best, it, at) => (it > bins[best] ? at : best), 0);
    return (top * analyser.context.sampleRate) / analyser.fftSize;
  };
};

// Sound that waits for a click, as in a browser with a window.
const block = () => {
  let isClicked = false;
  addEventListener('pointerdown', () => (isClicked = true), { capture: true });
  const Sound = window.AudioContext;
  window.AudioContext = class extends Sound {
    constructor() {
      super();
      void this.suspend();
    }
    resume() {
      return isClicked ? super.resume() : Promise.reject(new DOMException('no click yet', 'NotAllowedError'));
    }
  };
};

// A page of its own, with what went wrong in it.
export const open = async (browser, url, { viewport = DESKTOP, theme, isSoundBlocked = false, locale = 'en-GB', ...options } = {}) => {
  const context = await browser.newContext({ viewport, locale, reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  if (isSoundBlocked) await page.addInitScript(block);
  await page.addInitScript(listen);
  if (theme) await page.addInitScript((it) => localStorage.setItem('vitalwire.theme', it), theme);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(url);
  return { page, context, errors };
};

// What axe finds that is serious, as texts.
export const faults = async (page) => {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`);
};
