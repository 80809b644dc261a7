'use strict';
// What is set from outside, checked before anything listens. Secrets come from files that the environment names, never from
// the environment itself: that is inherited by every child process, and readable in `docker inspect`.

const { hkdfSync } = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const FILE_BYTES_MAX = 65_536;
const SECRET_CHARACTERS_MIN = 32;

// What a person has to change before Node-RED starts.
class ConfigurationError extends Error {}

// A file that the variable `name` names. `secret`: only its owner may read it.
const file = (environment, name, { secret, make }) => {
  const named = environment[name];
  if (!named) throw new ConfigurationError(`${name} is not set: it names ${make}`);
  const filename = path.resolve(named);
  let text;
  try {
    const { mode, size } = fs.statSync(filename);
    if (secret && mode & 0o077) {
      throw new ConfigurationError(`${name}: others can read ${filename}; run: chmod 600 ${filename}`);
    }
    if (size > FILE_BYTES_MAX) throw new ConfigurationError(`${name}: ${filename} has ${size} bytes, at most ${FILE_BYTES_MAX} are read`);
    text = fs.readFileSync(filename, 'utf8');
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError(`${name}: cannot read ${filename} (${error.code}); it is ${make}`);
  }
  if (text.trim() === '') throw new ConfigurationError(`${name}: ${filename} is empty; it is ${make}`);
  return { filename, text };
};

// The first line of such a file.
const line = (environment, name, options) => file(environment, name, options).text.split(/\r?\n/, 1)[0];

const number = (environment, name, { least, most, otherwise }) => {
  const text = environment[name];
  if (!text) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ConfigurationError(`${name} is ${JSON.stringify(text)}: a whole number from ${least} to ${most} is needed`);
  }
  return value;
};

const isLoopback = (host) => host === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));

// Key and certificate of the pages, or nothing for plain HTTP, which is for this machine only.
const https = (environment, host) => {
  if (environment.NODERED_TLS_CERT_FILE || environment.NODERED_TLS_KEY_FILE) {
    const cert = file(environment, 'NODERED_TLS_CERT_FILE', { make: 'the certificate (PEM) of the pages' });
    const key = file(environment, 'NODERED_TLS_KEY_FILE', { secret: true, make: 'the private key (PEM) of the pages' });
    return { cert: cert.text, key: key.text };
  }
  if (!isLoopback(host) && environment.NODERED_ALLOW_PLAIN_HTTP !== 'yes') {
    throw new ConfigurationError(
      `NODERED_HOST is ${host}: other machines would get passwords and readings unencrypted. Name a certificate in ` +
        'NODERED_TLS_CERT_FILE and its key in NODERED_TLS_KEY_FILE, or set NODERED_ALLOW_PLAIN_HTTP=yes behind a proxy that has TLS',
    );
  }
  return undefined;
};

// Two keys from one secret, so that neither tells the other.
const keys = (secret) => {
  if (secret.length < SECRET_CHARACTERS_MIN) {
    throw new ConfigurationError(`NODERED_SECRET_FILE: the secret has ${secret.length} characters, at least ${SECRET_CHARACTERS_MIN} are needed`);
  }
  const key = (label) => Buffer.from(hkdfSync('sha256', secret, '', `vitalwire node-red ${label} v1`, 32));
  return { sessionKey: key('sessions'), credentialSecret: key('credentials').toString('hex') };
};

const configuration = (environment) => {
  const host = environment.NODERED_HOST || '127.0.0.1';
  const usersFile = file(environment, 'NODERED_USERS_FILE', {
    secret: true,
    make: 'the file of who may log in; there is no default password. Make one: npm run user -- add NAME --role viewer',
  }).filename;
  const secret = line(environment, 'NODERED_SECRET_FILE', {
    secret: true,
    make: 'a file with a secret of its own. Make one: (umask 077; openssl rand -hex 32 > FILE)',
  });
  const userMake = 'a file with the name of an MQTT user of role reader. Make the user: vitalwire user add node-red --role reader --generate';
  return {
    host,
    port: number(environment, 'NODERED_PORT', { least: 0, most: 65_535, otherwise: 1_880 }),
    https: https(environment, host),
    folder: path.resolve(environment.NODERED_DATA || 'data'),
    usersFile,
    ...keys(secret),
    session_ms: 3_600_000 * number(environment, 'NODERED_SESSION_HOURS', { least: 1, most: 168, otherwise: 12 }),
    silent_after_ms: 1_000 * number(environment, 'NODERED_SILENT_AFTER_S', { least: 2, most: 600, otherwise: 10 }),
    mqtt: {
      host: environment.NODERED_MQTT_HOST || 'localhost',
      port: number(environment, 'NODERED_MQTT_PORT', { least: 1, most: 65_535, otherwise: 8_883 }),
      caFile: file(environment, 'NODERED_MQTT_CA_FILE', {
        make: 'the certificate that vouches for the broker: tls/broker-certificate.pem of the data folder that `vitalwire init` made',
      }).filename,
      user: line(environment, 'NODERED_MQTT_USER_FILE', { make: userMake }),
      password: line(environment, 'NODERED_MQTT_PASSWORD_FILE', { secret: true, make: 'a file with the password of that MQTT user' }),
    },
  };
};

module.exports = { ConfigurationError, configuration };
