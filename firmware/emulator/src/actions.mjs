// What can be done to an emulated device, by a word: keys, scripts and tests use the same ones.

import { SECOND } from './world-clock.mjs';

const SWITCH = ['configuration', 'collector', 'between'];
const seconds = (text, otherwise) => (Number(text ?? otherwise) || otherwise) * SECOND;
const isOn = (word) => {
  if (word !== 'on' && word !== 'off') throw new Error(`say on or off, not ${word}`);
  return word === 'on';
};

const ACTIONS = {
  switch: {
    help: 'switch configuration|collector|between',
    run: (board, [position]) => {
      if (!SWITCH.includes(position)) throw new Error(`the switch goes to ${SWITCH.join(', ')}`);
      board.switch.move(position === 'between' ? null : position);
    },
  },
  power: {
    help: 'power on|off, power off-in-flash [PART]: at this part of the next erase or write of the flash',
    run: (board, [word, part = '0.5']) => {
      if (word === 'off-in-flash') board.cutInFlash(Number(part));
      else if (isOn(word)) board.pico.powerOn();
      else board.pico.cutPower();
    },
  },
  wifi: { help: 'wifi on|off', run: (board, [word]) => board.air.switchWifi(isOn(word)) },
  modem: {
    help: 'modem reset | busy [SECONDS] | silence [SECONDS] | fail-sends [COUNT] | close',
    run: (board, [fault, value]) => {
      const { modem } = board;
      const faults = {
        reset: () => modem.restart(),
        busy: () => modem.busyFor(seconds(value, 5)),
        silence: () => modem.silenceFor(seconds(value, 20)),
        'fail-sends': () => modem.failSends(Number(value ?? 1)),
        close: () => modem.closeLink(),
      };
      if (!faults[fault]) throw new Error(`the modem's faults are ${Object.keys(faults).join(', ')}`);
      faults[fault]();
    },
  },
  sensor: {
    help: 'sensor pulse|movement|temperature on|off',
    run: (board, [name, word]) => board.connectSensor(name, isOn(word)),
  },
  patient: {
    help: 'patient heart_rate_bpm|breathing_bpm|body_celsius|mcu_celsius|mpu_celsius NUMBER',
    run: ({ patient }, [property, value]) => {
      if (typeof patient[property] !== 'number') throw new Error(`a patient has no ${property}`);
      if (!Number.isFinite(Number(value))) throw new Error(`${value} is no number`);
      patient[property] = Number(value);
    },
  },
};

export const ACTION_HELP = Object.values(ACTIONS).map(({ help }) => help);

/** Does what these words say; throws with what can be said. */
export function act(board, words) {
  const [name, ...rest] = words.trim().split(/\s+/);
  const action = ACTIONS[name];
  if (!action) throw new Error(`"${words}" means nothing here; there are:\n  ${ACTION_HELP.join('\n  ')}`);
  action.run(board, rest);
}
