// How the tests of all pages start a real browser: of this one, of the dashboard, and of Node-RED's.
import { existsSync } from 'node:fs';

// Patience with a slow machine, in milliseconds.
export const PATIENCE_MS = 60_000;

const executablePath = () => {
  const paths = [process.env.VITALWIRE_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = paths.find((path) => path && existsSync(path));
  if (!found) throw Error('no Chromium is installed; install it (apt-get install chromium), or name it in VITALWIRE_CHROMIUM');
  return found;
};

// What Playwright is told to launch, with more arguments of a test's own.
export const launchOptions = (...more) => ({
  executablePath: executablePath(),
  timeout: PATIENCE_MS,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...more],
});
