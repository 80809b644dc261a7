// MQTT.js, which Node-RED and web pages use, in a real browser over WebSocket, in both versions of MQTT.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { browser } from './support/browser.mjs';
import { PATIENCE_MS } from './support/process.mjs';
import { server } from './support/server.mjs';

const MQTT_JS = readFileSync(fileURLToPath(new URL('../node_modules/mqtt/dist/mqtt.min.js', import.meta.url)));
const PASSWORD = 'the admin of this test';
const MESSAGES = 200;

// A page of this machine that has MQTT.js, as `mqtt`, and `client`: a connection whose messages wait in a list.
const page = async (t, url) => {
  const site = createServer((request, response) => response.end(request.url === '/mqtt.js' ? MQTT_JS : '<script src="mqtt.js"></script>'));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  t.after(() => site.close());
  const opened = await (await browser(t)).newPage();
  opened.setDefaultTimeout(PATIENCE_MS);
  await opened.goto(`http://127.0.0.1:${site.address().port}/`);
  await opened.evaluate(
    ([url, password]) => {
      globalThis.client = (options) => {
        const given = { username: 'admin2', password, reconnectPeriod: 0, protocolVersion: 4, ...options };
        const connected = globalThis.mqtt.connect(url, given);
        const messages = [];
        const waiting = [];
        connected.on('message', (topic, payload, packet) => {
          const message = { topic, text: payload.toString(), qos: packet.qos, retain: packet.retain, properties: packet.properties };
          (waiting.shift() ?? ((kept) => messages.push(kept)))(message);
        });
        connected.next = () => new Promise((resolve) => (messages.length ? resolve(messages.shift()) : waiting.push(resolve)));
        return new Promise((resolve, reject) => {
          connected.once('connect', ({ sessionPresent }) => resolve({ connected, sessionPresent }));
          connected.once('error', (error) => reject(Error(`refused: ${error.code}`)));
        });
      };
    },
    [url, PASSWORD],
  );
  return opened;
};

test('MQTT.js in a browser: each QoS, a session that stays, a will, a wrong password, properties', async (t) => {
  const running = await server(t);
  running.run(['user', 'add', 'admin2', '--role', 'admin', '--password-stdin'], `${PASSWORD}\n`);
  const opened = await page(t, `ws://127.0.0.1:${running.websocketPort}/mqtt`);
  for (const protocolVersion of [4, 5]) {
    await t.test(`version ${protocolVersion}: each QoS`, async () => {
      const got = await opened.evaluate(async (protocolVersion) => {
        const { connected } = await globalThis.client({ protocolVersion });
        await connected.subscribeAsync('home/qos', { qos: 2 });
        const got = [];
        for (const qos of [0, 1, 2]) {
          await connected.publishAsync('home/qos', String(qos), { qos });
          got.push(await connected.next());
        }
        await connected.endAsync();
        return got.map(({ text, qos, retain }) => [text, qos, retain]);
      }, protocolVersion);
      assert.deepEqual(got, [0, 1, 2].map((qos) => [String(qos), qos, false]));
    });

    await t.test(`version ${protocolVersion}: away and back`, async () => {
      const got = await opened.evaluate(
        async ([protocolVersion, count]) => {
          const stays = { protocolVersion, clientId: `display-${protocolVersion}`, clean: false, properties: { sessionExpiryInterval: 60 } };
          const first = await globalThis.client(stays);
          await first.connected.subscribeAsync('home/session', { qos: 1 });
          await first.connected.endAsync();
          const sender = await globalThis.client({ protocolVersion });
          for (let number = 0; number < count; number += 1) await sender.connected.publishAsync('home/session', String(number), { qos: 1 });
          await sender.connected.endAsync();
          const back = await globalThis.client(stays);
          const texts = [];
          for (let number = 0; number < count; number += 1) texts.push((await back.connected.next()).text);
          await back.connected.endAsync();
          return { texts, present: [first.sessionPresent, back.sessionPresent] };
        },
        [protocolVersion, MESSAGES],
      );
      assert.deepEqual(got.texts, Array.from({ length: MESSAGES }, (_, number) => String(number)));
      assert.deepEqual(got.present, [false, true]);
    });

    await t.test(`version ${protocolVersion}: a will`, async () => {
      const got = await opened.evaluate(async (protocolVersion) => {
        const { connected } = await globalThis.client({ protocolVersion });
        await connected.subscribeAsync('home/will', { qos: 1 });
        const mortal = await globalThis.client({ protocolVersion, will: { topic: 'home/will', payload: 'gone', qos: 1, retain: false } });
        mortal.connected.stream.destroy();
        const { text } = await connected.next();
        await connected.endAsync();
        return text;
      }, protocolVersion);
      assert.equal(got, 'gone');
    });

    await t.test(`version ${protocolVersion}: a wrong password is understood`, async () => {
      const refused = opened.evaluate((protocolVersion) => globalThis.client({ protocolVersion, password: 'a wrong one' }), protocolVersion);
      // Bad user name or password, or not authorised.
      await assert.rejects(refused, protocolVersion === 4 ? /refused: [45]\b/ : /refused: 13[45]\b/);
    });
  }

  await t.test('version 5: properties', async () => {
    const given = { userProperties: { unit: '°C' }, contentType: 'text/plain', payloadFormatIndicator: true, messageExpiryInterval: 600 };
    const got = await opened.evaluate(async (properties) => {
      const { connected } = await globalThis.client({ protocolVersion: 5 });
      await connected.subscribeAsync('home/properties', { qos: 1, properties: { subscriptionIdentifier: 7 } });
      await connected.publishAsync('home/properties', '37', { qos: 1, properties });
      const { text, properties: got } = await connected.next();
      await connected.endAsync();
      return { text, ...got, userProperties: { ...got.userProperties } };
    }, given);
    assert.ok(got.messageExpiryInterval > 0 && got.messageExpiryInterval <= 600);
    assert.deepEqual({ ...got, messageExpiryInterval: 600 }, { text: '37', ...given, subscriptionIdentifier: 7 });
  });
});
