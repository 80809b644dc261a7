// A module of the page, for Node.js: its types taken off by the builder that the page has too.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'vite';

const folder = mkdtempSync(join(tmpdir(), 'vitalwire-dashboard-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const src = join(import.meta.dirname, '../src');

export const load = async (path) => {
  const output = await build({
    configFile: false,
    root: src,
    logLevel: 'silent',
    build: {
      write: false,
      minify: false,
      target: 'esnext',
      lib: { entry: join(src, path), formats: ['es'], fileName: 'module' },
    },
  });
  const { code } = [output].flat()[0].output[0];
  const file = join(folder, `${path.replaceAll('/', '-')}.mjs`);
  writeFileSync(file, code);
  return import(pathToFileURL(file));
};
