// The keys of `npm run emulate`.

import { act } from './actions.mjs';

/** Key → [what it says, the action's words for this board]. */
const KEYS = {
  c: ['switch to configuration', () => 'switch configuration'],
  d: ['switch to data collector', () => 'switch collector'],
  p: ['power off, on', ({ pico }) => `power ${pico.isOn ? 'off' : 'on'}`],
  f: ['power off in the middle of the next write to the flash', () => 'power off-in-flash'],
  w: ['Wi-Fi away, there', ({ air }) => `wifi ${air.visible().length > 0 ? 'off' : 'on'}`],
  r: ['modem: reset', () => 'modem reset'],
  b: ['modem: busy for 5 s', () => 'modem busy'],
  x: ['modem: silent for 20 s', () => 'modem silence'],
  l: ['modem: connections closed', () => 'modem close'],
  1: ['pulse sensor off, on', ({ analog }) => `sensor pulse ${analog.pulse_connected ? 'off' : 'on'}`],
  2: ['movement sensor off, on', ({ mpu6050 }) => `sensor movement ${mpu6050.connected ? 'off' : 'on'}`],
  3: ['temperature sensor off, on', ({ ds18b20 }) => `sensor temperature ${ds18b20.connected ? 'off' : 'on'}`],
  '+': ['heart rate +5', ({ patient }) => `patient heart_rate_bpm ${patient.heart_rate_bpm + 5}`],
  '-': ['heart rate -5', ({ patient }) => `patient heart_rate_bpm ${Math.max(30, patient.heart_rate_bpm - 5)}`],
};
const CTRL_C = '\x03';

export const KEY_HELP = [...Object.entries(KEYS).map(([key, [help]]) => `${key}  ${help}`), 'q  end (Ctrl-C too)', '?  these keys'];

/** Takes keys from a terminal; from anything else, none. Returns how to let go of it. */
export function listenToKeys(board, { onAction, onHelp, onEnd, onError, input = process.stdin }) {
  if (!input.isTTY) return () => undefined;
  const pressed = (text) => {
    for (const key of text) {
      if (key === 'q' || key === CTRL_C) onEnd();
      else if (key === '?') onHelp();
      else if (KEYS[key]) perform(KEYS[key][1](board));
    }
  };
  const perform = (words) => {
    try {
      onAction(words);
      act(board, words);
    } catch (error) {
      onError(error);
    }
  };
  input.setRawMode(true);
  input.setEncoding('utf8');
  input.on('data', pressed);
  input.resume();
  return () => {
    input.off('data', pressed);
    input.setRawMode(false);
    input.pause();
  };
}
