// The real server with its embedded broker over TLS, real devices at it, and a subscriber that is none of ours.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folder, freePort, start } from './process.mjs';

const BUILT = fileURLToPath(new URL('../../../../target/debug/vitalwire', import.meta.url));
const MQTT_PASSWORD = 'a reader of all devices';

const executable = () => {
  const found = process.env.VITALWIRE ?? BUILT;
  if (!existsSync(found)) throw Error(`${found} is missing: run cargo build -p vitalwire, or name the program in VITALWIRE`);
  return found;
};

export const server = async (t) => {
  const vitalwire = executable();
  const home = folder(t);
  const data = join(home, 'data');
  const run = (args, input = '') =>
    execFileSync(vitalwire, [...args, '--data', data], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  run(['init']);
  run(['user', 'add', 'node-red', '--role', 'reader', '--password-stdin'], `${MQTT_PASSWORD}\n`);
  const [devicePort, mqttPort, tlsPort, websocketPort] = await Promise.all(Array.from({ length: 4 }, freePort));
  const local = (port) => `127.0.0.1:${port}`;
  const serve = async () => {
    const listen = ['--listen', local(devicePort), '--mqtt-listen', local(mqttPort), '--mqtt-tls-listen', local(tlsPort)];
    const more = ['--mqtt-websocket-listen', local(websocketPort), '--metrics-listen', 'off'];
    const running = start(t, vitalwire, ['serve', '--data', data, ...listen, ...more]);
    await running.said('listening devices=');
    return running;
  };
  let running = await serve();

  const file = (name, text) => {
    const made = join(home, name);
    writeFileSync(made, text);
    chmodSync(made, 0o600);
    return made;
  };

  // Devices on the secure link, enrolled and sending. Gives the program that is them.
  const tlsDevices = (names, options = []) => {
    const lines = names.map((name) => {
      run(['device', 'add', name]);
      const psk = run(['device', 'psk', name]);
      return `${name} ${psk.match(/identity: (\S+)/)[1]} ${psk.match(/psk: (\S+)/)[1]}\n`;
    });
    const links = file(`${names[0]}.links`, lines.join(''));
    return devices(['--protocol', 'tls', '--links', links, ...options]);
  };

  // Devices with the paper's frames and the paper's file of keys.
  const frameDevices = (keys, options = []) => {
    const imported = file(`keys-${Object.keys(keys)[0]}.txt`, Object.entries(keys).map(([id, key]) => `{ "id":"${id}", "key":"${key}", "iv":"AAAAAAAAAAAAAAAA"}\n`).join(''));
    run(['device', 'import', imported]);
    return devices(['--keys', imported, ...options]);
  };

  const devices = (options) => {
    const begin = () => start(t, vitalwire, ['simulate', 'fleet', '--target', local(devicePort), ...options]);
    return { ...begin(), begin };
  };

  // What mosquitto_sub sees, as [time of arrival, topic, payload]. It goes on until the test ends.
  const subscriber = async (topic) => {
    const args = ['-h', '127.0.0.1', '-p', String(mqttPort), '-u', 'node-red', '-P', MQTT_PASSWORD, '-q', '1', '-t', topic, '-F', '%t %p', '-d'];
    // By lines: it would keep what it says, and we would not know when it has subscribed.
    const running = start(t, 'stdbuf', ['-oL', 'mosquitto_sub', ...args]);
    await running.said('Subscribed');
    return () =>
      running
        .text()
        .split('\n')
        .filter((line) => /^(Pico|vitalwire)\//.test(line))
        .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);
  };

  return {
    vitalwire,
    home,
    data,
    run,
    file,
    devicePort,
    mqttPort,
    tlsPort,
    websocketPort,
    mqttUser: 'node-red',
    mqttPassword: MQTT_PASSWORD,
    certificate: join(data, 'tls/broker-certificate.pem'),
    tlsDevices,
    frameDevices,
    subscriber,
    stop: () => running.stop(),
    start: async () => {
      running = await serve();
    },
    log: () => running.text(),
    read: (name) => readFileSync(join(home, name), 'utf8'),
  };
};
