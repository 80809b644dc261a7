'use strict';
// What the page shows of each device, out of MQTT messages (PROTOCOL.md §3). Opens no connection and reads no clock: times are
// milliseconds since 1970, an argument.

const { AHEAD_MS, Trace } = require('./trace');
const { parseAddress, parseReading, parseTopic, parseWaveform } = require('./messages');

const DEVICES_MAX = 256;
const CHANNELS_MAX = 32;
const TRACES_MAX = 4;
// Drawn from readings, too, when its device sends no waveforms: the paper's devices.
const PULSE = 'Pulse_Signal';
// After a new connection to the broker, what no retained message named in this time is gone there, and here.
const CONFIRM_MS = 10_000;
// A device that usually sends so many times more rarely than the time-out is silent after this many of its usual distances.
const SILENT_DISTANCES = 3;
const SILENT_AFTER_MS_MAX = 600_000;
const DISTANCES = 5;

class Device {
  status;
  address = {};
  assurance;
  uncertainty_ms;
  values = new Map();
  traces = new Map();
  // The newest time of measurement, and when its message came.
  newest_ms;
  received_ms;
  distances = [];
  confirmed = true;
  changed = true;

  // Whether a measurement of this time is news. One of an outage that comes late is not; nor may a newest time from the future, of a
  // server whose clock was set back, hide what comes after it.
  isNews(time_ms, now_ms) {
    return this.newest_ms === undefined || time_ms >= this.newest_ms || this.newest_ms > now_ms + AHEAD_MS;
  }

  measured(time_ms, now_ms) {
    if (!this.isNews(time_ms, now_ms)) return;
    if (this.received_ms !== undefined && now_ms > this.received_ms) {
      this.distances = [...this.distances, now_ms - this.received_ms].slice(-DISTANCES);
    }
    this.newest_ms = time_ms;
    this.received_ms = now_ms;
  }

  // Milliseconds since the last measurement. When the clocks of server and Node-RED differ, the greater age is shown.
  age_ms(now_ms) {
    return this.newest_ms === undefined ? undefined : Math.max(0, now_ms - this.newest_ms, now_ms - this.received_ms);
  }

  silentAfter_ms(least_ms) {
    const usual = [...this.distances].sort((one, other) => one - other)[this.distances.length >> 1] ?? 0;
    return Math.max(least_ms, Math.min(SILENT_DISTANCES * usual, SILENT_AFTER_MS_MAX));
  }
}

class Devices {
  #silent_after_ms;
  #devices = new Map();
  // Names that found no room, for the page to count.
  #left = new Set();
  #gone = new Set();
  #connected_ms;
  #confirmed = true;

  constructor({ silent_after_ms }) {
    this.#silent_after_ms = silent_after_ms;
  }

  // Takes an MQTT message. False when it is none of PROTOCOL.md's: it changes nothing.
  take(topic, payload, now_ms) {
    const parsed = parseTopic(topic);
    if (!parsed) return false;
    // What comes proves the connection: Node-RED says once that it is there, and a deployment at that moment loses it.
    this.connection(true, now_ms);
    const { id, kind } = parsed;
    if (kind === 'status' && payload === '') return this.#forget(id);
    // An erased device's addresses go, too, before its status or after it: they must not bring it back.
    if (kind === 'address' && payload === '' && !this.#devices.has(id)) return true;
    const change = CHANGES[kind](parsed, payload, now_ms);
    if (!change) return false;
    const device = this.#device(id);
    if (!device) return false;
    change(device);
    if (kind !== 'address') device.confirmed = true;
    device.changed = true;
    return true;
  }

  // The state of the connection to the broker.
  connection(isConnected, now_ms) {
    if (isConnected === (this.#connected_ms !== undefined)) return;
    this.#connected_ms = isConnected ? now_ms : undefined;
    if (isConnected) {
      this.#confirmed = false;
      for (const device of this.#devices.values()) device.confirmed = false;
    }
  }

  // Everything, for a browser that has nothing.
  all(now_ms) {
    return this.#message(now_ms, { all: true });
  }

  // What changed since this was last called, for the browsers that have the rest.
  changes(now_ms) {
    this.#forgetUnconfirmed(now_ms);
    const message = this.#message(now_ms, { all: false });
    this.#gone.clear();
    for (const device of this.#devices.values()) device.changed = false;
    return message;
  }

  #message(now_ms, { all }) {
    const devices = [...this.#devices].map(([id, device]) => ({
      id,
      state: this.#state(device, now_ms),
      age_ms: device.age_ms(now_ms),
      ...(all || device.changed ? details(device, { all }) : {}),
    }));
    return { kind: all ? 'all' : 'changes', now_ms, connected: this.#connected_ms !== undefined, left: this.#left.size, devices, gone: all ? [] : [...this.#gone] };
  }

  #state(device, now_ms) {
    if (this.#connected_ms === undefined) return 'unknown';
    if (device.status === 'offline') return 'offline';
    const age_ms = device.age_ms(now_ms);
    return age_ms !== undefined && age_ms <= device.silentAfter_ms(this.#silent_after_ms) ? 'online' : 'silent';
  }

  #device(id) {
    const known = this.#devices.get(id);
    if (known) return known;
    if (this.#devices.size >= DEVICES_MAX) {
      if (this.#left.size < DEVICES_MAX) this.#left.add(id);
      return undefined;
    }
    this.#left.delete(id);
    this.#gone.delete(id);
    const device = new Device();
    this.#devices.set(id, device);
    return device;
  }

  // An empty status is that of a device whose data was erased.
  #forget(id) {
    this.#left.delete(id);
    if (this.#devices.delete(id)) this.#gone.add(id);
    return true;
  }

  #forgetUnconfirmed(now_ms) {
    if (this.#confirmed || this.#connected_ms === undefined || now_ms - this.#connected_ms < CONFIRM_MS) return;
    this.#confirmed = true;
    for (const [id, device] of this.#devices) if (!device.confirmed) this.#forget(id);
    this.#left.clear();
  }
}

// What a message changes in its device, by the kind of its topic; nothing when it cannot be read.
const CHANGES = {
  status: (_, payload) => {
    if (payload !== 'online' && payload !== 'offline') return undefined;
    return (device) => {
      device.status = payload;
    };
  },

  address: ({ name }, payload) => {
    const address = parseAddress(name, payload);
    return (
      address !== undefined &&
      ((device) => {
        device.address[name] = address;
      })
    );
  },

  reading: (_, payload, now_ms) => {
    const reading = parseReading(payload);
    return reading && ((device) => takeReading(device, reading, now_ms));
  },

  waveform: ({ channel }, payload, now_ms) => {
    const waveform = parseWaveform(payload);
    return waveform && ((device) => takeWaveform(device, channel, waveform, now_ms));
  },
};

const takeReading = (device, { time_ms, assurance, uncertainty_ms, values }, now_ms) => {
  if (device.isNews(time_ms, now_ms)) Object.assign(device, { assurance, uncertainty_ms });
  for (const [name, value] of values) {
    const shown = device.values.get(name);
    if (!shown && device.values.size >= CHANNELS_MAX) continue;
    const isNews = !shown || time_ms >= shown.time_ms || shown.time_ms > now_ms + AHEAD_MS;
    if (isNews) device.values.set(name, { ...value, time_ms });
  }
  const pulse = values.get(PULSE);
  const drawn = traceOf(device, PULSE, pulse);
  if (pulse && drawn && !drawn.hasWaveforms) drawn.trace.addValue(time_ms, Number(pulse.text), now_ms);
  device.measured(time_ms, now_ms);
};

const takeWaveform = (device, channel, waveform, now_ms) => {
  const drawn = traceOf(device, channel, waveform);
  // What the readings drew lies on other columns of the same curve: start again, once.
  if (drawn && !drawn.hasWaveforms) Object.assign(drawn, { hasWaveforms: true, trace: new Trace() });
  drawn?.trace.addWaveform(waveform, now_ms);
  const last_ms = waveform.t0_ms + waveform.interval_ms * (waveform.values.length - 1);
  if (device.isNews(last_ms, now_ms)) Object.assign(device, { assurance: waveform.assurance, uncertainty_ms: waveform.uncertainty_ms });
  device.measured(last_ms, now_ms);
};

const traceOf = (device, channel, source) => {
  const known = device.traces.get(channel);
  if (known || !source || device.traces.size >= TRACES_MAX) return known;
  const drawn = { trace: new Trace(), unit: source.unit, hasWaveforms: false };
  device.traces.set(channel, drawn);
  return drawn;
};

const details = ({ status, address, assurance, uncertainty_ms, values, traces }, { all }) => ({
  status,
  address: { ...address },
  assurance,
  uncertainty_ms,
  values: Object.fromEntries(values),
  traces: [...traces].map(([channel, { trace, unit }]) => ({ channel, unit, ...trace.frame(), points: trace.points({ all }) })),
});

module.exports = { CONFIRM_MS, DEVICES_MAX, Devices };
