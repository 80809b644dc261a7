// What README.md says to do: the indented lines of a section, and the table of what can be rotated.
import { readFileSync } from 'node:fs';

const section = (file, name) => readFileSync(file, 'utf8').split(`\n## ${name}\n`)[1].split('\n## ')[0];

// Without their comments.
export const lines = (file, name) =>
  section(file, name)
    .split('\n')
    .filter((line) => line.startsWith('    '))
    .map((line) => line.slice(4).split('  #')[0].trim());

// Of each row of a table what it is about, and what stands in backticks in the next column.
export const table = (file, name) =>
  section(file, name)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => line.split(' | '))
    .map(([what, how]) => [what.replace(/^\| /, ''), [...how.matchAll(/`([^`]+)`/g)].map(([, code]) => code)]);

// The rows of "Rotate": what a test has to follow. `init` of each row but the first stands there as `…`.
export const INIT = 'docker compose run --rm init init --deploy /deploy --name NAME --renew certificates';
export const ROTATE = [
  ['a device\'s key', ['docker compose exec vitalwire /bin/vitalwire device rotate bed_07']],
  [
    '`admin`\'s password, and that of each other reader',
    ['single', 'vitalwire user password admin --generate', 'emqx', 'vitalwire emqx password admin --generate', 'vitalwire emqx sync'],
  ],
  ['a password for Node-RED\'s page', ['docker compose run --rm nodered-user password viewer --generate']],
  ['all certificates and their authority', [INIT, 'ca.pem']],
  ['passwords of gateway and Node-RED at EMQX', ['… --renew mqtt', 'gateway', 'nodered', 'vitalwire emqx sync']],
  ['what signs Node-RED\'s sessions, and all who log in there', ['… --renew pages', 'nodered']],
  ['EMQX\'s cookie, the key of its REST API', ['… --renew emqx', 'emqx']],
  ['`admin` of EMQX\'s dashboard', ['docker compose exec emqx emqx ctl admins passwd admin NEW']],
  ['the master key', ['… --renew master-key', 'secrets']],
];
