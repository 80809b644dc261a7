// What the stand-in for EMQX is told: the users and rights of EMQX's files, in mosquitto's words. It knows other hashes than EMQX, so
// the passwords are read where their owners have them.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const EMQX = 1_000;

const CONF = `listener 8883 0.0.0.0
cafile /vitalwire/ca.pem
certfile /vitalwire/cert.pem
keyfile /vitalwire/key.pem
allow_anonymous false
password_file /standin/passwords
acl_file /standin/acl
persistence true
persistence_location /opt/emqx/data/
max_queued_messages 0
log_type error
log_type warning
log_type notice
`;

// Of each user, what acl.conf grants it.
const rights = (acl) => {
  const lines = ['user health', 'topic write health'];
  for (const [, permission, user, action, filters] of acl.matchAll(/^\{(allow|deny), \{username, "([^"]+)"\}, (publish|subscribe|all), \[(.*)\]\}\.$/gm)) {
    // Mosquitto cannot forbid publishing alone: who is forbidden some of it publishes nothing here.
    if (permission === 'deny') continue;
    const access = { publish: 'write', subscribe: 'read', all: 'read' }[action];
    lines.push(`user ${user}`);
    for (const [, filter] of filters.matchAll(/"([^"]+)"/g)) lines.push(`topic ${access} ${filter}`);
  }
  return `${lines.join('\n')}\n`;
};

// `people`: passwords by name, beside those of the programs.
export const standin = (ward, people = {}) => {
  const folder = join(ward.home, 'standin');
  const secret = (volume, name) => readFileSync(join(ward.volume(volume), name), 'utf8').trim();
  const write = (changes = {}) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'mosquitto.conf'), CONF);
    writeFileSync(join(folder, 'acl'), rights(readFileSync(join(ward.volume('emqx-data'), 'authz/acl.conf'), 'utf8')));
    const passwords = { health: 'health', gateway: secret('secrets', 'mqtt-password'), 'node-red': secret('nodered', 'mqtt-password'), ...people, ...changes };
    const file = join(folder, 'passwords');
    writeFileSync(file, Object.entries(passwords).map(([name, password]) => `${name}:${password}\n`).join(''));
    chmodSync(file, 0o600);
    execFileSync('mosquitto_passwd', ['-U', file]);
    for (const name of ['mosquitto.conf', 'acl', 'passwords']) {
      chownSync(join(folder, name), EMQX, EMQX);
      chmodSync(join(folder, name), 0o400);
    }
  };
  return { folder, write };
};
