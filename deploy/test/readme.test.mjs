// The lines of README.md's "Deploy" and of this folder's README.md, one after the other as they are written: start, look, upgrade, back
// up, restore, rotate, remove. What must differ here is listed; a line that is not expected fails. What is rotated in the profile `emqx` is
// in emqx.test.mjs.
import assert from 'node:assert/strict';
import { chownSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../nodered/test/support/process.mjs';
import { INIT, ROTATE, lines, table } from './support/readme.mjs';
import { DEPLOY, docker, passwords, report, run, stack } from './support/stack.mjs';

const LEFT = null;
// Whose the volumes of the server are.
const SERVER = 65_532;
// Each line without its comment; what it must say, or LEFT: it is for a person, or the caller of this test did it, or it is tested elsewhere.
const MAIN = [
  ['deploy/build image && deploy/images', LEFT],
  ['cd deploy', LEFT],
  ['docker compose --profile single up -d', ''],
  ['docker compose logs init', /MQTT, mqtts:\/\/localhost:8883 +admin/],
  ['docker compose exec vitalwire /bin/vitalwire device add bed_07', /psk: /],
];
const LOOK = [
  ['docker compose ps', /vitalwire/],
  ['docker compose logs --tail 50 vitalwire', /listening devices=/],
  ['docker compose exec vitalwire /bin/vitalwire device add bed_07', LEFT],
  ['docker compose exec vitalwire /bin/vitalwire history bed_07', ''],
  ['docker compose exec vitalwire /bin/vitalwire doctor', /✓ data/],
  ['docker compose exec vitalwire /bin/vitalwire user link admin', /^https:\/\/localhost:8443\/#link=/m],
  ['docker cp "$(docker compose ps -q vitalwire)":/secrets/ca.pem .', ''],
  ["mosquitto_sub -h localhost -p 8883 --cafile ca.pem -u admin -P PASSWORD -t 'Pico/#' -v", ''],
  ['docker compose run --rm nodered-user add nurse --role viewer --generate', /([a-z0-9]{5}-){3}[a-z0-9]{5}/],
  ['docker compose run --rm verify /captures/gateway.pcap0', LEFT],
  ['docker compose run --rm verify /captures/emqx.pcap0', LEFT],
];
const UPGRADE = [
  ['git pull && deploy/build image && deploy/images', LEFT],
  ['cd deploy && docker compose --profile single up -d', ''],
];
const tar = (name, image = 'debian:12') => `docker run --rm --network none -v deploy_${name}:/v:ro ${image} tar c -C /v . > ${name}.tar`;
const untar = (name, image = 'debian:12') => `docker run --rm -i --network none -v deploy_${name}:/v ${image} tar xp -C /v < ${name}.tar`;
const NAMES = ['data', 'secrets', 'authority'];
const BACK_UP = [['docker compose --profile single stop', ''], ...NAMES.map((name) => [tar(name), '']), ['docker compose --profile single start', '']];
const RESTORE = [...NAMES.map((name) => [untar(name), '']), ['docker compose --profile single up -d', '']];
const REMOVE = [
  ['docker compose --profile emqx --profile sniff --profile single down', ''],
  ['docker volume ls --filter label=com.docker.compose.project=deploy', /_data/],
];

// What the programs of a deployment know of each other and of people: each file with its bytes.
const secrets = (ward) =>
  ['authority', 'secrets', 'emqx', 'nodered'].flatMap((volume) =>
    readdirSync(ward.volume(volume), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => [`${volume}/${name}`, readFileSync(join(ward.volume(volume), name), 'latin1')]),
  );

// With an image of another name and number: devices that measure meanwhile lose nothing, and all is as it was.
const upgrade = async (t, ward, follow) => {
  const image = ward.env.VITALWIRE_IMAGE ?? 'vitalwire:latest';
  const made = docker('create', image).trim();
  const next = `vitalwire-upgrade:${ward.project}`;
  docker('commit', '--change', 'LABEL upgraded=yes', made, next);
  docker('rm', made);
  t.after(() => run('docker', ['rmi', '--force', next]));
  const links = ward.enrol('vitalwire', ['bed_08']);
  const [before, files] = [ward.id('vitalwire'), secrets(ward)];
  const fleet = ward.fleet(['--protocol', 'tls', '--links', links]);
  const kept = () => ward.vitalwire('vitalwire', 'history', 'bed_08', '--channel', 'Pulse_Signal', '--raw', '--json').split('\n').filter(Boolean).length;
  await until(() => kept() > 0, 'the first reading');
  ward.env.VITALWIRE_IMAGE = next;
  await follow();
  assert.notEqual(ward.id('vitalwire'), before, 'the new image runs');
  assert.equal(ward.inspect('vitalwire').Config.Labels.upgraded, 'yes');
  assert.match(ward.logs('init'), /nothing was changed/);
  assert.deepEqual(passwords(ward.logs('init')), {}, 'no new password');
  assert.deepEqual(secrets(ward), files, 'secrets are as they were');
  await ward.healthy('vitalwire');
  await fleet.stop();
  const ended = await report(fleet);
  assert.deepEqual([ended.dropped, ended.held, ended.acknowledged], [0, 0, ended.measured]);
  assert.equal(kept(), ended.measured, 'what it measured during the upgrade is there, once');
  assert.match(ward.vitalwire('vitalwire', 'device', 'list'), /bed_07/);
};

// What the table says for the profile `single`: after each row the old secret is refused and the new one holds.
const rotate = async (t, ward, { admin, line }) => {
  const rows = table(join(DEPLOY, 'README.md'), 'Rotate');
  assert.deepEqual(rows, ROTATE);
  const how = new Map(rows);
  const must = (text) => {
    const { status, stdout, stderr } = line(text.replace('NAME', 'localhost'));
    assert.equal(status, 0, `${text}\n${stdout}${stderr}`);
    return stdout;
  };
  const again = async () => {
    ward.compose(['restart', 'vitalwire']);
    await ward.healthy('vitalwire');
  };
  const isServed = async (links) => {
    const { measured, acknowledged } = await report(ward.fleet(['--protocol', 'tls', '--links', links, '--seconds', '1']));
    assert.ok(measured > 0);
    return acknowledged === measured;
  };
  const linkFile = (name, said) => {
    const file = join(ward.home, `${name}.links`);
    writeFileSync(file, `bed_07 ${said.match(/identity: (\S+)/)[1]} ${said.match(/psk: (\S+)/)[1]}\n`, { mode: 0o600 });
    return file;
  };

  // The old key works until the new one is used.
  const old = linkFile('old', ward.vitalwire('vitalwire', 'device', 'psk', 'bed_07'));
  const fresh = linkFile('new', must(how.get('a device\'s key')[0]));
  assert.ok(await isServed(old), 'the old key, before the new one is used');
  assert.ok(await isServed(fresh));
  assert.ok(!(await isServed(old)), 'the old key, after that');

  const mayLogIn = (password, ca) => run('mosquitto_sub', ['-h', 'localhost', '-p', String(ward.ports.mqtt), '--cafile', ca, '-u', 'admin', '-P', password, '-t', '#', '-E', '-W', '60']).status === 0;
  const oldCa = ward.copy('vitalwire', '/secrets/ca.pem', 'old-ca.pem');
  assert.ok(mayLogIn(admin, oldCa));
  const [, password] = how.get('`admin`\'s password, and that of each other reader');
  const next = must(`docker compose exec vitalwire /bin/${password}`).match(/([a-z0-9]{5}-){3}[a-z0-9]{5}/)[0];
  await until(() => !mayLogIn(admin, oldCa), 'that the old password is refused');
  assert.ok(mayLogIn(next, oldCa));

  must(INIT);
  await again();
  const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
  assert.ok(!mayLogIn(next, oldCa), 'the server shows a certificate of the old authority');
  assert.ok(mayLogIn(next, ca));

  // By a server that runs on.
  const key = () => readFileSync(join(ward.volume('secrets'), 'master-key'), 'utf8');
  const [before, running] = [key(), ward.inspect('vitalwire').State.StartedAt];
  assert.match(must(INIT.replace('certificates', 'master-key')), /\d devices are sealed under a new master key/);
  assert.notEqual(key(), before);
  assert.equal(ward.inspect('vitalwire').State.StartedAt, running);
  assert.ok(await isServed(fresh));
  assert.ok(await isServed(ward.enrol('vitalwire', ['bed_09'])), 'what is sealed under the new key');
  const copy = join(ward.volume('data'), 'old-key');
  writeFileSync(copy, before, { mode: 0o600 });
  chownSync(copy, SERVER, SERVER);
  const refused = run('docker', ['exec', ward.id('vitalwire'), '/bin/vitalwire', 'device', 'list', '--master-key', '/data/old-key']);
  assert.match(refused.stderr, /not the one/);
  await again();
  assert.ok(await isServed(fresh));
  assert.match(ward.vitalwire('vitalwire', 'audit', 'verify'), /sound/);
};

test('the lines of the READMEs do what they say', async (t) => {
  const ward = await stack(t, ['single', 'emqx', 'sniff']);
  let admin;
  const here = (line) =>
    line
      .replace(/^cd deploy && /, '')
      .replaceAll('docker compose exec', 'docker compose exec -T')
      .replaceAll('docker compose', `docker-compose --project-name ${ward.project} --file ${join(DEPLOY, 'compose.yml')}`)
      .replaceAll('deploy_', `${ward.project}_`)
      .replace('project=deploy', `project=${ward.project}`)
      // What has tar, as nothing can be pulled here.
      .replace('debian:12', 'vitalwire-tar:latest')
      .replace('-p 8883', `-p ${ward.ports.mqtt} -W 60 -E`)
      .replace('PASSWORD', admin);
  const follow = async (file, section, steps) => {
    assert.deepEqual(lines(file, section), steps.map(([line]) => line), `the lines of ${section} in ${file}`);
    let text = '';
    for (const [line, wanted] of steps) {
      if (wanted === LEFT) continue;
      const { status, stdout, stderr } = run('bash', ['-c', here(line)], { env: ward.env, cwd: ward.home });
      assert.equal(status, 0, `${line}\n${stdout}${stderr}`);
      assert.match(stdout + stderr, wanted || /^/, line);
      text += stdout;
      if (line.endsWith('up -d') || line.endsWith('start')) await ward.healthy('vitalwire');
    }
    return text;
  };
  const own = join(DEPLOY, 'README.md');
  const said = await follow(join(DEPLOY, '../README.md'), 'Deploy', MAIN);
  [admin] = passwords(said).admin;
  await follow(own, 'Look', LOOK);
  await upgrade(t, ward, () => follow(own, 'Upgrade', UPGRADE));
  await follow(own, 'Back up', BACK_UP);
  const audit = () => ward.vitalwire('vitalwire', 'audit', 'verify');
  assert.match(audit(), /sound/);

  // Another machine has none of these volumes.
  ward.compose(['down', '--volumes']);
  NAMES.forEach((name) => docker('volume', 'create', `${ward.project}_${name}`, '--label', `com.docker.compose.project=${ward.project}`, '--label', `com.docker.compose.volume=${name}`));
  await follow(own, 'Restore', RESTORE);
  assert.match(ward.vitalwire('vitalwire', 'device', 'list'), /bed_07/);
  const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
  await ward.subscriber({ user: 'admin', password: admin, ca, topics: ['#'] });

  await rotate(t, ward, { admin, line: (text) => run('bash', ['-c', here(text)], { env: ward.env, cwd: ward.home }) });
  await follow(own, 'Remove', REMOVE);
});
