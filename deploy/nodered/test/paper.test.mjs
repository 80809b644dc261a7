// A flow of the paper's shape, in a Node-RED with its own settings: a node a topic, two broker nodes without TLS, of which server, user
// and password were changed, as README.md says.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startNodeRed } from './support/nodered.mjs';
import { freePort, until } from './support/process.mjs';
import { server } from './support/server.mjs';

const ID = 'iot_med_dev_01';
const TOPICS = [
  'Physiological_Data/Temperature',
  'Physiological_Data/Pulse_Signal',
  'Physiological_Data/Accelerometer/x',
  'Physiological_Data/Accelerometer/y',
  'Physiological_Data/Accelerometer/z',
  'Internal_Device_Data/Temperature/MCU',
  'Internal_Device_Data/Temperature/MPU',
  'Ip_address',
  'Port_address',
  'Internal_Server/Ip_address',
  'Internal_Server/Port_address',
];
const BROKERS = ['broker-1', 'broker-2'];

test('the paper’s flow gets all eleven topics when server, user and password of its two broker nodes are changed', async (t) => {
  const ward = await server(t);
  const home = join(ward.home, 'paper');
  mkdirSync(home);
  const broker = (id) => ({ id, type: 'mqtt-broker', name: '', broker: '127.0.0.1', port: String(ward.mqttPort), clientid: '', autoConnect: true, usetls: false, protocolVersion: '4', keepalive: '60', cleansession: true });
  const topic = (name, index) => ({ id: `in-${index}`, type: 'mqtt in', z: 'tab', topic: `Pico/${ID}/${name}`, qos: '2', datatype: 'auto-detect', broker: BROKERS[index % 2], inputs: 0, wires: [[`debug-${index}`]] });
  const debug = (name, index) => ({ id: `debug-${index}`, type: 'debug', z: 'tab', name, active: true, console: true, tosidebar: false, complete: 'payload', wires: [] });
  writeFileSync(join(home, 'flows.json'), JSON.stringify([{ id: 'tab', type: 'tab', label: 'Flow 1' }, ...BROKERS.map(broker), ...TOPICS.map(topic), ...TOPICS.map(debug)]));
  const account = { user: ward.mqttUser, password: ward.mqttPassword };
  writeFileSync(join(home, 'flows_cred.json'), JSON.stringify(Object.fromEntries(BROKERS.map((id) => [id, account]))));
  writeFileSync(join(home, 'settings.js'), "module.exports = { flowFile: 'flows.json', credentialSecret: false, uiHost: '127.0.0.1', telemetry: { enabled: false } };\n");
  const env = { PATH: process.env.PATH, HOME: home };
  const nodered = startNodeRed(t, env, ['--userDir', home, '--port', String(await freePort())]);
  ward.frameDevices({ [ID]: '1234567890123456' });
  for (const [index, name] of TOPICS.entries()) await nodered.said(`[debug:${name}]`).catch(() => assert.fail(`nothing came of ${name}, number ${index}`));
  const values = (name) => nodered.text().match(RegExp(`\\[debug:${name}\\] (\\S+)`))[1];
  assert.equal(await until(() => values('Internal_Server/Port_address'), 'the port'), String(ward.devicePort));
  assert.ok(Math.abs(Number(values('Physiological_Data/Temperature')) - 37) < 3);
});
