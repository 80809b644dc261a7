// Plain MQTT where an operator allows it: for the addresses that were named, and for no one else on the same network.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { passwords, run, stack } from './support/stack.mjs';

const ALLOWED = '172.20.0.30';
const OTHER = '172.20.0.31';

test('plain MQTT is served to the network that is allowed and closed to another address', async (t) => {
  const environment = { VITALWIRE_MQTT_LISTEN: '0.0.0.0:1883', VITALWIRE_ALLOW_PLAIN_MQTT: `${ALLOWED}/32` };
  const ward = await stack(t, ['single'], { overrides: [{ services: { vitalwire: { environment } } }] });
  ward.compose(['up', '--detach']);
  await ward.healthy('vitalwire');
  const [password] = passwords(ward.logs('init')).admin;
  const publish = (address) =>
    run('docker', ['run', '--rm', '--network', `${ward.project}_ward`, '--ip', address, 'vitalwire-standin:latest', '/usr/bin/mosquitto_pub', '-h', '172.20.0.10', '-p', '1883', '-u', 'admin', '-P', password, '-t', 'home/x', '-m', '1']);
  assert.equal(publish(ALLOWED).status, 0);
  const refused = publish(OTHER);
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /connection was lost/i);
});
