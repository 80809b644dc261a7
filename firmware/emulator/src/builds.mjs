// Finds what the emulator runs, the firmware and the `vitalwire` program, and builds what is missing with cargo.

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const PICO = join(REPOSITORY, 'firmware/pico');
const FIRMWARE = join(PICO, 'target/thumbv6m-none-eabi/release/vitalwire-pico');
const PROGRAMS = ['release', 'debug'].map((profile) => join(REPOSITORY, 'target', profile, 'vitalwire'));

function cargo(folder, ...arguments_) {
  const { status } = spawnSync('cargo', arguments_, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`cargo ${arguments_.join(' ')} failed in ${folder}`);
}

/** The firmware's ELF file: named in VITALWIRE_FIRMWARE, or this repository's. */
export function firmware() {
  return process.env.VITALWIRE_FIRMWARE ?? FIRMWARE;
}

/** The `vitalwire` program: named in VITALWIRE, or the newest build of this repository. */
export function vitalwire() {
  const built_at = (path) => statSync(path).mtimeMs;
  const builds = PROGRAMS.filter((path) => existsSync(path)).sort((a, b) => built_at(b) - built_at(a));
  const [found] = process.env.VITALWIRE ? [process.env.VITALWIRE] : builds;
  if (!found) throw new Error('there is no vitalwire program yet: cargo build --package vitalwire');
  return found;
}

/** Builds the firmware again; cargo knows whether there is anything to do. */
export function buildFirmware() {
  if (process.env.VITALWIRE_FIRMWARE) return;
  cargo(PICO, 'build', '--release', '--locked', '--target', 'thumbv6m-none-eabi');
}

/** Builds the `vitalwire` program if there is none. */
export function buildVitalwire() {
  if (process.env.VITALWIRE || PROGRAMS.some((path) => existsSync(path))) return;
  cargo(REPOSITORY, 'build', '--locked', '--package', 'vitalwire');
}
