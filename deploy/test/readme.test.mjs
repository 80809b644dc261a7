// The lines of README.md's "Deploy" and of this folder's README.md, one after the other as they are written: start, look, back up,
// restore, remove. What must differ here is listed; a line that is not expected fails.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../nodered/test/support/process.mjs';
import { DEPLOY, docker, passwords, run, stack } from './support/stack.mjs';

const LEFT = null;
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
  ['docker cp "$(docker compose ps -q vitalwire)":/secrets/ca.pem .', ''],
  ["mosquitto_sub -h localhost -p 8883 --cafile ca.pem -u admin -P PASSWORD -t 'Pico/#' -v", ''],
  ['docker compose run --rm nodered-user add nurse --role viewer --generate', /([a-z0-9]{5}-){3}[a-z0-9]{5}/],
  ['docker compose run --rm verify /captures/gateway.pcap0', LEFT],
  ['docker compose run --rm verify /captures/emqx.pcap0', LEFT],
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

// The indented lines of a section.
const lines = (file, section) => {
  const [, text] = readFileSync(file, 'utf8').split(`\n## ${section}\n`);
  return text
    .split('\n## ')[0]
    .split('\n')
    .filter((line) => line.startsWith('    '))
    .map((line) => line.slice(4).split('  #')[0].trim());
};

test('the lines of the READMEs do what they say', async (t) => {
  const ward = await stack(t, ['single', 'emqx', 'sniff']);
  let admin;
  const here = (line) =>
    line
      .replaceAll('docker compose exec', 'docker compose exec -T')
      .replaceAll('docker compose', `docker-compose --project-name ${ward.project} --file ${join(DEPLOY, 'compose.yml')}`)
      .replaceAll('deploy_', `${ward.project}_`)
      .replace('project=deploy', `project=${ward.project}`)
      // What has tar, as nothing can be pulled here.
      .replace('debian:12', 'vitalwire-tar:latest')
      .replace('-p 8883', `-p ${ward.ports.mqtt} -W 1 -E`)
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

  // What is made anew is new for all who have it.
  const certificate = () => readFileSync(join(ward.volume('secrets'), 'certificate.pem'), 'utf8');
  const before = certificate();
  ward.compose(['run', '--rm', 'init', 'init', '--deploy', '/deploy', '--renew', 'certificates']);
  assert.notEqual(certificate(), before);
  ward.compose(['restart', 'vitalwire']);
  await until(() => ward.inspect('vitalwire').State.Health.Status === 'healthy', 'the server');
  await follow(own, 'Remove', REMOVE);
});
