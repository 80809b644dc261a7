// Compresses the built page and says in Rust what its files are. Called by build.rs.
//
//   node embed.mjs DIST FOLDER     writes assets.rs and the compressed files to FOLDER
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const kinds = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

const [dist, folder] = process.argv.slice(2);
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .sort();
const assets = files.map((file, number) => {
  const path = `/${relative(dist, file).split(sep).join('/')}`;
  const kind = kinds[extname(file)];
  if (!kind) throw new Error(`${path}: embed.mjs does not know this kind of file`);
  const plain = readFileSync(file);
  const brotli = brotliCompressSync(plain, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
  });
  const named = { plain, gzip: gzipSync(plain, { level: 9 }), brotli };
  const fields = Object.entries(named).map(([name, bytes]) => {
    writeFileSync(join(folder, `asset-${number}.${name}`), bytes);
    return `${name}: include_bytes!("asset-${number}.${name}")`;
  });
  return `    Asset { path: ${JSON.stringify(path)}, kind: "${kind}", is_hashed: ${path.startsWith('/assets/')}, ${fields.join(', ')} },`;
});
writeFileSync(join(folder, 'assets.rs'), `&[\n${assets.join('\n')}\n]\n`);
