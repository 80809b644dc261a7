// Builds the configuration page: one file of HTML with its style and its script, compressed up to a byte boundary, and what
// the device must know to go on behind it (vitalwire_device::setup::Page). Called by build.rs.
//
//   node build.mjs FOLDER     writes configuration.gz and configuration.rs there
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, deflateRawSync, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const sources = import.meta.dirname;

// Gives the cipher the few tools that it needs of its own file, see there.
const slimCipher = {
  name: 'slim-cipher',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\/utils\.js$/ }, ({ importer }) =>
      importer.includes('@noble') ? { path: join(sources, 'configuration/noble-utils.js') } : undefined,
    ),
};

// A file of the page with what it imports, as small as it gets.
export const bundle = async (entry) => {
  const { outputFiles } = await build({
    absWorkingDir: sources,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    // Every browser of 2021 and later.
    target: 'es2022',
    charset: 'utf8',
    // Names inside the cipher that nothing else sees.
    mangleProps: /^(_updateBlock|authKey|block(Len|Size)|counter|destroy(ed)?|digest(Into)?|finished|nonceLength|outputLen|sbox2?|tag(Length|Mask)|varSizeNonce|windowSize|withAAD|T(0|1|2|3|01|23))$/,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [slimCipher],
  });
  return outputFiles[0].text.trim();
};

const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

// Line ends between elements mean nothing in this page, and quotes are only needed around spaces.
const smallest = (html) =>
  html
    .trim()
    .replace(/\n/g, '')
    .replace(/="([^" >=]+)"/g, '=$1');

// Writes both files.
const buildPage = async (folder) => {
  const script = await bundle('configuration/page.js');
  const style = await bundle('configuration/page.css');
  const page = smallest(readFileSync(join(sources, 'configuration/page.html'), 'utf8'))
    .replace('<!--style-->', () => `<style>${style}</style>`)
    .replace('<!--script-->', () => `<script type=module>${script}</script>`);

  // The CRC-32 stands in the trailer of any gzip member (RFC 1952 §2.3).
  const crc32 = gzipSync(page).readUInt32LE(gzipSync(page).length - 8);
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
  const deflated = deflateRawSync(page, { level: 9, memLevel: 9, finishFlush: constants.Z_SYNC_FLUSH });
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join(';');

  writeFileSync(`${folder}/configuration.gz`, Buffer.concat([header, deflated]));
  const fields = [
    'gzip: include_bytes!("configuration.gz")',
    `len: ${Buffer.byteLength(page)}`,
    `crc32: ${crc32}`,
    `content_security_policy: "${policy}"`,
  ];
  writeFileSync(`${folder}/configuration.rs`, `Page { ${fields.join(', ')} }\n`);
  console.log(`configuration page: ${Buffer.byteLength(page)} bytes, ${header.length + deflated.length} compressed`);
};

if (process.argv[2]) await buildPage(process.argv[2]);
