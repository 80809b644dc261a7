// A script of what happens to an emulated device: a JSON file with a list of {"at": seconds, "do": "words"}, or a JavaScript
// module whose default export is called with the board and may wait for what it wants.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { act } from './actions.mjs';
import { SECOND } from './world-clock.mjs';

/** Starts a script; `onAction` is told each action, `onError` what went wrong. */
export async function runScript(board, file, { onAction = () => undefined, onError }) {
  const perform = (words) => {
    try {
      onAction(words);
      act(board, words);
    } catch (error) {
      onError(error);
    }
  };
  if (/\.m?js$/.test(file)) {
    const { default: script } = await import(pathToFileURL(resolve(file)));
    await script(board, perform);
    return;
  }
  for (const { at, do: words } of readSteps(file)) board.pico.world.after(at * SECOND, () => perform(words));
}

function readSteps(file) {
  const steps = JSON.parse(readFileSync(file, 'utf8'));
  const isStep = (step) => typeof step?.at === 'number' && step.at >= 0 && typeof step.do === 'string';
  if (!Array.isArray(steps) || !steps.every(isStep)) {
    throw new Error(`${file} must be a list such as [{"at": 30, "do": "wifi off"}, {"at": 90, "do": "wifi on"}]`);
  }
  return steps;
}
