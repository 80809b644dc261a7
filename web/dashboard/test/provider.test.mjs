// Signing in with a provider of OpenID Connect: the real server, and `oidc-provider`, a certified one.
//
//   VITALWIRE=../../target/debug/vitalwire node --test test/provider.test.mjs
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import Provider from 'oidc-provider';
import { faults, launch, open } from './browser.mjs';
import { program, signIn, start } from './server.mjs';
import { load } from './sources.mjs';

const { answerOf } = await load('live/provider.ts');

const SECRET = 'a secret: of + 100 % & more';

// Of another site than the dashboard, as it is in a hospital: a browser takes `localhost` and `127.0.0.1` for two.
const startProvider = async (cert, key) => {
  const answer = { provider: null };
  const server = createServer({ cert, key }, (request, response) => answer.provider(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `https://localhost:${server.address().port}`;
  const serve = (home) => {
    const provider = new Provider(issuer, {
      clients: [{ client_id: 'vitalwire', client_secret: SECRET, redirect_uris: [home] }],
      claims: { openid: ['sub'], profile: ['preferred_username'] },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: `person-${id}`, preferred_username: id }) }),
      pkce: { required: () => true },
      cookies: { keys: ['of a test'] },
    });
    answer.provider = provider.callback();
  };
  return { issuer, serve, stop: () => (server.closeAllConnections(), server.close()) };
};

describe('an address', () => {
  test('holds what a provider said, or nothing of it', () => {
    assert.deepEqual(answerOf('?code=a%26b&state=c'), { answer: { code: 'a&b', state: 'c' } });
    assert.deepEqual(answerOf('?wall&code=a&state=c&iss=https%3A%2F%2Fx'), { answer: { code: 'a', state: 'c', iss: 'https://x' } });
    assert.deepEqual(answerOf('?error=access_denied&state=c'), { answer: null });
    for (const other of ['', '?wall', '?code=a', '?state=c', '?error=x']) assert.equal(answerOf(other), null, other);
  });
});

describe('a provider', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [provider, server, browser, serve] = [];
  const openPage = (url) => open(browser, url, { ignoreHTTPSErrors: true });
  before(async () => {
    server = await start({ users: { ana: 'admin', bo: 'reader' } });
    // The certificate that `init` made is for `localhost`, and no one vouches for it: as that of a hospital's own provider.
    const [certificate, privateKey] = ['certificate', 'key'].map((what) => join(server.data, `tls/broker-${what}.pem`));
    provider = await startProvider(readFileSync(certificate), readFileSync(privateKey));
    const file = join(server.folder, 'secret');
    writeFileSync(file, SECRET, { mode: 0o600 });
    await server.kill();
    const about = ['--oidc-issuer', provider.issuer, '--oidc-client-id', 'vitalwire', '--oidc-client-secret-file', file];
    serve = (...more) => server.serve([...about, '--oidc-name', 'Ward login', ...more]);
    await serve('--oidc-ca', certificate);
    provider.serve(server.url);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    provider?.stop();
  });

  const goThere = async (page) => {
    await page.getByRole('button', { name: 'Sign in with Ward login' }).click();
    await page.waitForURL((url) => url.hostname === 'localhost');
  };
  const signInThere = async (page, name) => {
    await goThere(page);
    await page.locator('input[name=login]').fill(name);
    await page.locator('input[name=password]').fill('any');
    await page.locator('button[type=submit]').click();
    await page.getByRole('button', { name: 'Continue' }).click();
  };

  test('logs in who is known there, and shows what was asked for', async () => {
    const { page, context, errors } = await openPage(`${server.url}?wall#/patient/nobody`);
    await page.getByRole('button', { name: 'Sign in with Ward login' }).waitFor();
    assert.deepEqual(await faults(page), []);
    await signInThere(page, 'ana');
    await page.getByText('not watched any more').waitFor();
    assert.equal(page.url(), `${server.url}?wall#/patient/nobody`, 'no code is left in the address');
    const session = await page.evaluate(() => fetch('api/v1/session').then((it) => it.json()));
    assert.deepEqual([session.user, session.role], ['ana', 'admin']);
    // What is not there is no fault of ours: the session before, and pictures of the provider's own page.
    assert.deepEqual(errors.filter((it) => !it.startsWith('Failed to load resource')), []);
    await context.close();
  });

  test('gives each person the rights that they have here', async () => {
    const { page, context } = await openPage(server.url);
    await signInThere(page, 'bo');
    await page.locator('main .ward').waitFor();
    const session = await page.evaluate(() => fetch('api/v1/session').then((it) => it.json()));
    assert.deepEqual([session.user, session.role], ['bo', 'reader']);
    await context.close();
  });

  test('lets no one in who is no user here', async () => {
    const { page, context } = await openPage(server.url);
    await signInThere(page, 'mallory');
    await page.getByText('no user of that name here').waitFor();
    assert.equal(page.url(), server.url);
    await context.close();
  });

  test('is left again by who changes their mind, and passwords work', async () => {
    const { page, context } = await openPage(server.url);
    await goThere(page);
    await page.getByText('[ Cancel ]').click();
    await page.getByText('You were not signed in.').waitFor();
    await signIn(page, 'ana');
    await context.close();
  });

  test('says nothing that was planted in an address', async () => {
    const { page, context } = await openPage(`${server.url}?code=planted&state=planted`);
    await page.getByText('You were not signed in.').waitFor();
    assert.equal(page.url(), server.url);
    await context.close();
  });

  const isAway = async () => {
    const { page, context } = await openPage(server.url);
    await page.getByRole('button', { name: 'Sign in with Ward login' }).click();
    await page.getByText('does not answer now').waitFor();
    await signIn(page, 'ana');
    await context.close();
  };

  test('is not asked when no one vouches for its certificate', async () => {
    await server.kill();
    await serve();
    await isAway();
  });

  test('may be away', async () => {
    provider.stop();
    await isAway();
  });
});
