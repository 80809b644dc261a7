// The real Node-RED with our settings, as `npm start` runs it.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folder, freePort, start } from './process.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NODE_RED = join(ROOT, 'node_modules/node-red/red.js');
export const PASSWORDS = { nurse: 'the nurse knows this', engineer: 'the engineer knows that' };

export const command = (args, usersFile, input) =>
  execFileSync(process.execPath, [join(ROOT, 'user.js'), ...args], {
    input,
    encoding: 'utf8',
    env: { ...process.env, NODERED_USERS_FILE: usersFile },
    stdio: ['pipe', 'pipe', 'pipe'],
  });

// The environment of a Node-RED at this server, with a viewer and an editor; its files are below `home`.
export const environment = async (home, server) => {
  const file = (name, text) => {
    const made = join(home, name);
    writeFileSync(made, text, { mode: 0o600 });
    return made;
  };
  const users = join(home, 'users');
  if (!existsSync(users)) {
    command(['add', 'nurse', '--role', 'viewer', '--password-stdin'], users, `${PASSWORDS.nurse}\n`);
    command(['add', 'engineer', '--role', 'editor', '--password-stdin'], users, `${PASSWORDS.engineer}\n`);
  }
  return {
    PATH: process.env.PATH,
    HOME: home,
    NODERED_DATA: join(home, 'node-red'),
    NODERED_PORT: String(await freePort()),
    NODERED_USERS_FILE: users,
    NODERED_SECRET_FILE: file('secret', `${'5ec2e7'.repeat(8)}\n`),
    NODERED_MQTT_PORT: String(server.tlsPort),
    NODERED_MQTT_CA_FILE: server.certificate,
    NODERED_MQTT_USER_FILE: file('mqtt-user', `${server.mqttUser}\n`),
    NODERED_MQTT_PASSWORD_FILE: file('mqtt-password', `${server.mqttPassword}\n`),
  };
};

export const startNodeRed = (t, env, args = ['--settings', join(ROOT, 'settings.js')]) => start(t, process.execPath, [NODE_RED, ...args], { env });

// A Node-RED that runs, is connected to the server's broker, and ends with the test.
export const nodeRed = async (t, server, changes = {}) => {
  const home = folder(t);
  const env = { ...(await environment(home, server)), ...changes };
  let running = startNodeRed(t, env);
  await running.said('Connected to broker');
  await running.said('Server now running');
  return {
    home,
    env,
    url: `http://127.0.0.1:${env.NODERED_PORT}`,
    text: () => running.text(),
    said: (words) => running.said(words),
    stop: () => running.stop(),
    start: async () => {
      running = startNodeRed(t, env);
      await running.said('Server now running');
    },
    cookie: (name, password = PASSWORDS[name]) => login(`http://127.0.0.1:${env.NODERED_PORT}`, name, password).then(({ cookie }) => cookie),
  };
};

// Logs in as a browser's form does. Gives the answer, and the cookie that it set.
export const login = async (url, name, password, headers = {}) => {
  const response = await fetch(`${url}/login`, { method: 'POST', redirect: 'manual', body: new URLSearchParams({ name, password }), headers });
  return { response, cookie: response.headers.get('set-cookie')?.split(';')[0] };
};
