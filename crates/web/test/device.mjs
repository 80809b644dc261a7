// A device in Configuration Mode on a port of this machine: the device's own server, run as the example `configuration`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { program } from './program.mjs';

export const SETUP_KEY = '00112233445566778899aabbccddeeff';

let executable;

// A device: its port, the settings that it will have been given, and how to end it.
export const start = async () => {
  executable ??= program('VITALWIRE_CONFIGURATION', '--package', 'vitalwire-web', '--example', 'configuration');
  const device = spawn(executable, ['127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(device, 'exit');
  const lines = createInterface({ input: device.stdout })[Symbol.asyncIterator]();
  const address = (await lines.next()).value;
  return {
    port: Number(address.split(':')[1]),
    settings: async () => JSON.parse((await lines.next()).value),
    stop: async () => {
      device.kill();
      await ended;
    },
  };
};
