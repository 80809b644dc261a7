// Prints the licences of Vitalwire and of every crate that is linked into its program, as they stand in the crates:
// licences.mjs TARGET. Equal texts are printed once. The lists are Cargo's; a crate without a text is named with its expression.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const metadata = JSON.parse(
  execFileSync('cargo', ['metadata', '--locked', '--format-version', '1', '--filter-platform', process.argv[2]], {
    maxBuffer: 1 << 28,
    encoding: 'utf8',
  }),
);
const packages = new Map(metadata.packages.map((one) => [one.id, one]));
const nodes = new Map(metadata.resolve.nodes.map((one) => [one.id, one]));

// What the program needs at run time; C libraries come with crates that are needed to build (openssl-src), so those count, too.
const linked = new Set();
const waiting = metadata.packages.filter((one) => one.name === 'vitalwire' && one.source === null).map((one) => one.id);
while (waiting.length > 0) {
  const id = waiting.pop();
  if (linked.has(id)) continue;
  linked.add(id);
  for (const next of nodes.get(id).deps) {
    if (next.dep_kinds.some(({ kind }) => kind !== 'dev')) waiting.push(next.pkg);
  }
}

const isText = (name) => /^(licen[cs]e|copying|copyright|notice|unlicense)/i.test(name) && !/\.(rs|html)$/i.test(name);
// Also one folder down, where crates have the C code that they bring.
const licenceFiles = (folder, depth = 1) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return depth > 0 ? licenceFiles(path, depth - 1) : [];
    return entry.isFile() && isText(entry.name) ? [path] : [];
  });
const texts = new Map();
const without = [];
for (const { name, version, license, manifest_path, source } of [...linked].map((id) => packages.get(id))) {
  if (source === null) continue;
  const files = licenceFiles(dirname(manifest_path));
  if (files.length === 0) without.push(`${name} ${version}: ${license}`);
  for (const file of files) {
    const text = readFileSync(file, 'utf8').trim().replace(/\r\n/g, '\n');
    texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
  }
}

const own = ['LICENSE-MIT', 'LICENSE-APACHE'].map((name) => readFileSync(name, 'utf8').trim());
const line = `\n${'='.repeat(80)}\n`;
console.log('Vitalwire may be used under the MIT licence or the Apache License 2.0, as you choose:');
for (const text of own) console.log(line + text);
console.log(line + 'Linked into the program: the GNU C library, LGPL-2.1-or-later, whose source comes with Debian (glibc). Vitalwire\'s own');
console.log('source and deploy/build let anyone link the program with another version of it.');
console.log(line + 'The following crates are linked into the program, too, or were needed to build it.');
for (const [text, names] of [...texts].sort(([, one], [, other]) => (one[0] < other[0] ? -1 : 1))) {
  console.log(`${line}${names.sort().join(', ')}\n\n${text}`);
}
if (without.length > 0) console.log(`${line}Without a text of their own:\n\n${without.sort().join('\n')}`);
