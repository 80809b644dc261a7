// Volumes that are full or that cannot be written, and an `init` that is killed at any moment.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../nodered/test/support/process.mjs';
import { passwords, report, run, stack } from './support/stack.mjs';

// A volume of so many MiB: its folder on this machine, its settings for compose, and what ends it.
const small = (mib) => {
  const place = mkdtempSync(join(tmpdir(), 'vitalwire-volume-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0755`, 'tmpfs', place]);
  const end = () => {
    execFileSync('umount', [place]);
    rmdirSync(place);
  };
  return { place, settings: { driver_opts: { type: 'none', o: 'bind', device: place } }, end };
};

test('a full volume acknowledges nothing, says so, and recovers by itself', async (t) => {
  const data = small(24);
  const ward = await stack(t, ['single'], { overrides: [{ volumes: { data: data.settings } }], end: data.end });
  ward.compose(['up', '--detach']);
  await ward.healthy('vitalwire');
  const links = ward.enrol('vitalwire', ['bed_01']);
  const ballast = join(data.place, 'ballast');
  const fill = run('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k']);
  assert.match(fill.stderr, /No space left/);
  const fleet = ward.fleet(['--protocol', 'tls', '--links', links, '--rate', '20']);
  const healthcheck = () => run('docker', ['exec', ward.id('vitalwire'), '/bin/vitalwire', 'healthcheck']);
  await until(() => healthcheck().stdout.includes('the disk of the journal is full'), 'that the disk is full');
  rmSync(ballast);
  await until(() => healthcheck().status === 0, 'that it has room again');
  await fleet.stop();
  const ended = await report(fleet);
  assert.deepEqual([ended.dropped, ended.held, ended.acknowledged], [0, 0, ended.measured]);
  const values = ward.vitalwire('vitalwire', 'history', 'bed_01', '--channel', 'Pulse_Signal', '--raw', '--json').trim().split('\n');
  assert.equal(values.length, ended.measured);
  await ward.healthy('vitalwire');
});

test('a volume that is read-only is said in words, and nothing is served', async (t) => {
  const ward = await stack(t, ['single'], { overrides: [{ services: { vitalwire: { volumes: ['data:/data:ro'] } } }] });
  ward.compose(['up', '--detach']);
  await until(() => /[Rr]ead-only/.test(ward.logs('vitalwire')), 'the reason');
  assert.doesNotMatch(ward.logs('vitalwire'), /listening devices=/);
  assert.doesNotMatch(ward.logs('vitalwire'), /panicked/);
});

test('an init that is killed at any moment is completed by the next, and no password of a person is lost', async (t) => {
  const ward = await stack(t, ['single']);
  ward.compose(['create', 'init']);
  const id = ward.id('init');
  for (let tries = 0, ms = 0; ; tries += 1, ms += 100) {
    assert.ok(tries < 200, 'it never ends by itself');
    run('docker', ['start', id]);
    const pid = ward.inspect('init').State.Pid;
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (pid === 0 || !ward.inspect('init').State.Running) break;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended just now.
    }
    await until(() => !ward.inspect('init').State.Running, 'its end');
    if (ward.inspect('init').State.ExitCode === 0) break;
  }
  const said = ward.logs('init');
  assert.equal(ward.inspect('init').State.ExitCode, 0, said);
  ward.compose(['up', '--detach']);
  await ward.healthy('vitalwire');
  assert.ok(readdirSync(ward.volume('secrets')).every((name) => !name.endsWith('.new')));
  // The last that were shown are those that hold.
  const admin = passwords(said).admin?.at(-1);
  assert.ok(admin, said);
  const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
  await ward.subscriber({ user: 'admin', password: admin, ca, topics: ['#'] });
});
