// What `docker inspect` must say of a container.
import assert from 'node:assert/strict';
import { docker } from './stack.mjs';

// As compose.yml promises for all of them, and what this one has beside that.
export const isHardened = ({ Name, Config, HostConfig, NetworkSettings }, { user, capabilities = [], ports, network }) => {
  assert.equal(Config.User, user, Name);
  assert.deepEqual(HostConfig.CapDrop, ['ALL'], Name);
  assert.deepEqual((HostConfig.CapAdd ?? []).map((name) => name.replace(/^CAP_/, '')).sort(), capabilities, Name);
  assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges:true'], Name);
  assert.equal(HostConfig.Privileged, false, Name);
  assert.equal(HostConfig.ReadonlyRootfs, true, Name);
  assert.ok(HostConfig.Memory > 0 && HostConfig.NanoCpus > 0 && HostConfig.PidsLimit > 0, `${Name} has no limits`);
  assert.equal(HostConfig.LogConfig.Type, 'json-file');
  assert.ok(HostConfig.LogConfig.Config['max-size'] && HostConfig.LogConfig.Config['max-file'], `${Name} keeps its log for ever`);
  assert.deepEqual(Object.keys(HostConfig.PortBindings ?? {}).sort(), [...ports].sort(), Name);
  if (network) assert.equal(HostConfig.NetworkMode, network, Name);
  else assert.match(Object.keys(NetworkSettings.Networks).join(), /ward$/, Name);
};

// No secret stands in a container's settings, in its environment or in the layers of its image.
export const noSecretOutside = (ward, services, secrets) => {
  assert.ok(secrets.length > 0);
  for (const service of services) {
    const inspected = ward.inspect(service);
    const seen = JSON.stringify(inspected) + docker('history', '--no-trunc', inspected.Image) + docker('image', 'inspect', inspected.Image);
    for (const secret of secrets) assert.ok(!seen.includes(secret), `a secret of ${service}`);
    assert.ok(!(inspected.Config.Env ?? []).some((line) => /PASSWORD=|SECRET=|KEY=[0-9a-f]{16}/i.test(line)), `${inspected.Config.Env}`);
  }
};
