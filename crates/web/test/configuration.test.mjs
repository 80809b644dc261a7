// The configuration page in a real browser, as a phone sees it, served by the device's own code.
//
//   npm ci && npm test                             in this crate's folder
//   VITALWIRE_SCREENSHOTS=../../docs npm test      also takes the pictures of README
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { DESKTOP, DEVICE_URL, PHONE, fill, launch, open, result, save } from './browser.mjs';
import { SETUP_KEY, start } from './device.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const WHAT_IT_NEVER_DOES = ['connect-src', 'img-src', 'script-src-attr', 'script-src-elem', 'style-src-elem'];
const GOOD = { network: 'Ward 3', password: 'correct horse', server: 'gateway.example', key: SETUP_KEY };

// A page of a device of its own, for one test.
const withPage = (options, body) => async (t) => {
  const device = await start();
  t.after(device.stop);
  const browser = await launch(device.port);
  t.after(() => browser.close());
  const opened = await open(browser, options);
  await body({ device, browser, ...opened }, t);
};

const texts = (page, selector) => page.locator(selector).allTextContents();
const focused = (page) => page.evaluate(() => document.activeElement.id);

describe('the configuration page', () => {
  test(
    'says who the device is, what went wrong, and which networks it sees, in one request',
    withPage({}, async ({ page, requests, errors }) => {
      assert.equal(await page.evaluate(() => isSecureContext), false);
      assert.equal(await page.textContent('#device'), 'icu-07');
      assert.equal(await page.textContent('#firmware'), '0.1.0');
      assert.equal(await page.textContent('#trouble'), 'Last connection: The Wi-Fi network refused the password.');
      assert.deepEqual(await texts(page, '#network option'), [
        'Ward 3 (-48 dBm)',
        'caf\ufffd \ufffd (-55 dBm)',
        'Guests (-61 dBm, open)',
        '</script><script>alert(1)// (-70 dBm)',
        'Other network',
      ]);
      assert.equal(await page.inputValue('#port'), '9998');
      assert.equal(await page.isVisible('#name'), false);
      assert.deepEqual(requests, [`GET ${DEVICE_URL}/`]);
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'takes the setup key from the address and does not leave it there',
    withPage({ fragment: `#${SETUP_KEY}` }, async ({ page }) => {
      assert.equal(await page.inputValue('#key'), SETUP_KEY);
      assert.equal(page.url(), `${DEVICE_URL}/`);
      assert.equal(await page.evaluate(() => history.length), 2, 'the blank page and this one');
    }),
  );

  test(
    'saves, says so, and asks no one but the device',
    withPage({}, async ({ page, device, requests, errors }) => {
      await fill(page, { ...GOOD, port: 4_000 });
      assert.match(await save(page), /^Saved\. The device is restarting/);
      assert.equal(await page.isVisible('#form'), false);
      assert.equal(await focused(page), 'result');
      assert.deepEqual(await device.settings(), {
        server: 'gateway.example',
        port: 4_000,
        wifiName: Buffer.from('Ward 3').toString('hex'),
        wifiPassword: 'correct horse',
      });
      assert.deepEqual(requests, [`GET ${DEVICE_URL}/`, `POST ${DEVICE_URL}/save`]);
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'gives a name that is no text back as the bytes that it is',
    withPage({}, async ({ page, device }) => {
      await fill(page, { ...GOOD, network: 'caf' });
      assert.match(await save(page), /^Saved/);
      assert.equal((await device.settings()).wifiName, '636166e920ff');
    }),
  );

  test(
    'takes a network that the device does not see, and a key in groups',
    withPage({}, async ({ page, device }) => {
      const key = SETUP_KEY.toUpperCase().replace(/(.{8})/g, '$1 ').replace(/ (.)/, '-$1');
      await fill(page, { name: 'Büro </b>', password: '', server: ' 192.168.1.20 ', key });
      assert.equal(await page.isVisible('#name'), true);
      assert.match(await save(page), /^Saved/);
      assert.deepEqual(await device.settings(), {
        server: '192.168.1.20',
        port: 9_998,
        wifiName: Buffer.from('Büro </b>').toString('hex'),
        wifiPassword: '',
      });
    }),
  );

  test(
    'seals settings of the longest lengths',
    withPage({}, async ({ page, device }) => {
      const server = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
      await fill(page, { name: 'n'.repeat(32), password: 'f'.repeat(64), server, port: 65_535, key: SETUP_KEY });
      assert.match(await save(page), /^Saved/);
      assert.equal((await device.settings()).server, server);
    }),
  );

  test(
    'checks what is typed, and saves nothing that is wrong',
    withPage({}, async ({ page, requests }) => {
      const wrong = {
        name: ['n'.repeat(33), 'ü'.repeat(17)],
        password: ['short', 'p'.repeat(64), 'pässwords'],
        server: ['192.168.1', '1.2.3.256', '1.2.3.4.5', 'a b', '-a', 'a..b', 'a/', `${'a.'.repeat(127)}bc`, 'ü'],
        port: ['0', '65536', 'a', '', '-1', '1.5', '1e3'],
        key: ['00', `${SETUP_KEY}0`, SETUP_KEY.replace('f', 'g')],
      };
      const right = { name: 'n', password: 'p'.repeat(8), server: 'a-1.b', port: '1', key: SETUP_KEY };
      await page.selectOption('#network', '');
      for (const [id, values] of Object.entries(wrong)) {
        for (const value of values) {
          await page.fill(`#${id}`, value);
          assert.notEqual(await page.textContent(`#${id}-error`), '', `${id}: ${value}`);
          assert.equal(await page.getAttribute(`#${id}`, 'aria-invalid'), 'true', `${id}: ${value}`);
        }
        await page.fill(`#${id}`, right[id]);
        assert.equal(await page.textContent(`#${id}-error`), '', id);
        assert.equal(await page.getAttribute(`#${id}`, 'aria-invalid'), 'false', id);
      }
      await page.fill('#server', '');
      await page.fill('#key', '');
      assert.match(await save(page), /^Not saved/);
      assert.equal(await focused(page), 'server', 'the first that is wrong');
      assert.equal(requests.length, 1);
    }),
  );

  test(
    'asks for the password of a network that has one',
    withPage({}, async ({ page }) => {
      await fill(page, { ...GOOD, password: '' });
      assert.match(await save(page), /^Not saved/);
      assert.equal(await focused(page), 'password');
      await page.selectOption('#network', { label: 'Guests (-61 dBm, open)' });
      assert.equal(await page.textContent('#password-error'), '');
      assert.match(await save(page), /^Saved/);
    }),
  );

  test(
    'says how many tries a wrong key leaves, then to wait',
    withPage({}, async ({ page, browser }) => {
      await page.clock.install();
      await fill(page, { ...GOOD, key: '0'.repeat(32) });
      for (const left of [4, 3, 2, 1]) {
        assert.equal(await save(page), `Wrong setup key. Tries left: ${left}.`);
        assert.equal(await focused(page), 'key');
        await page.evaluate(() => (document.getElementById('result').textContent = ''));
      }
      // Its clock goes on by itself as well, on a busy machine by some seconds.
      const seconds = (text, words) => Number(text.match(words)?.[1]);
      const told = seconds(await save(page), /^Too many wrong keys\. Wait (\d+) seconds\.$/);
      assert.ok(told > 30 && told <= 60, `${told}`);
      assert.equal(await page.isDisabled('#save'), true);
      assert.match(await page.textContent('#save'), /^Wait \d\d s$/);
      // A page that is opened now says the same.
      const { page: other } = await open(browser);
      assert.match(await result(other), /^Too many wrong keys/);
      await page.clock.runFor(30_000);
      const left = seconds(await page.textContent('#save'), /^Wait (\d+) s$/);
      assert.ok(left > 0 && left <= told - 30, `${left}`);
      await page.clock.runFor(31_000);
      assert.equal(await page.textContent('#save'), 'Save');
      assert.equal(await page.isDisabled('#save'), false);
      // The device's own clock did not run on.
      assert.match(await save(page), /^Too many wrong keys/);
    }),
  );

  test(
    'runs no script and asks no server but its own',
    withPage({}, async ({ page }) => {
      const refused = await page.evaluate(async () => {
        const refused = new Set();
        const all = new Promise((resolve) => {
          document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => {
            refused.add(effectiveDirective);
            if (refused.size === 5) resolve();
          });
        });
        const script = document.createElement('script');
        script.textContent = 'globalThis.ran = true';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src=/x onerror="globalThis.ran = true">');
        const style = document.createElement('style');
        document.body.append(Object.assign(style, { textContent: 'body { color: red }' }));
        await fetch('http://127.0.0.1:9/').catch(() => {});
        await all;
        return [...refused, globalThis.ran].sort();
      });
      assert.deepEqual(refused, [...WHAT_IT_NEVER_DOES, undefined]);
    }),
  );

  test(
    'saves although another page has used its nonce up',
    withPage({}, async ({ page, browser, device, requests }) => {
      const { page: other } = await open(browser);
      await fill(other, { ...GOOD, key: '1'.repeat(32) });
      assert.match(await save(other), /^Wrong setup key/);
      await fill(page, GOOD);
      assert.match(await save(page), /^Saved/);
      assert.equal(requests.filter((request) => request.startsWith('POST')).length, 2);
      assert.equal((await device.settings()).server, 'gateway.example');
    }),
  );

  test(
    'says that the device is gone, and can be used again',
    withPage({}, async ({ page, device }) => {
      await fill(page, GOOD);
      await device.stop();
      assert.match(await save(page), /^The device did not answer/);
      assert.equal(await page.isDisabled('#save'), false);
    }),
  );

  test(
    'needs no pointer',
    withPage({ fragment: `#${SETUP_KEY}` }, async ({ page, device }) => {
      const type = async (id, text) => {
        for (let steps = 0; (await focused(page)) !== id; steps++) {
          assert.ok(steps < 20, `${id} is never focused`);
          await page.keyboard.press('Tab');
        }
        await page.keyboard.type(text);
      };
      await type('network', 'Gu');
      await type('server', 'gateway');
      await page.keyboard.press('Enter');
      assert.match(await result(page), /^Saved/);
      assert.equal((await device.settings()).wifiName, Buffer.from('Guests').toString('hex'));
    }),
  );

  for (const colorScheme of ['light', 'dark']) {
    test(
      `has nothing that axe finds against, ${colorScheme}`,
      withPage({ colorScheme, bypassCSP: true }, async ({ page }) => {
        await page.selectOption('#network', '');
        await page.fill('#key', 'wrong');
        await save(page);
        await page.addScriptTag({ content: axe });
        const { violations } = await page.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
      }),
    );
  }

  test(
    'fits a narrow phone',
    withPage({ viewport: { width: 320, height: 568 } }, async ({ page }) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 320, `${width} pixels wide`);
    }),
  );

  const pictures = process.env.VITALWIRE_SCREENSHOTS;
  for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    test(
      `is pictured: ${name}`,
      { skip: !pictures },
      withPage({ viewport, fragment: `#${SETUP_KEY}` }, async ({ page }) => {
        await fill(page, GOOD);
        await page.screenshot({ path: `${pictures}/configuration-${name}.png` });
      }),
    );
  }
});
