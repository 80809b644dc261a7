'use strict';
// MQTT messages of PROTOCOL.md §3, checked. What is not as it says there gives nothing.

const PAYLOAD_CHARACTERS_MAX = 1_048_576;
const VALUES_MAX = 100_000;
const ID = '([A-Za-z0-9_-]{1,64})';
const NAME = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/;
const NAME_CHARACTERS_MAX = 128;
const UNIT_CHARACTERS_MAX = 32;

const OURS = RegExp(`^vitalwire/v1/${ID}/(status|reading|waveform/(.+))$`);
const PAPERS = RegExp(`^Pico/${ID}/(Ip_address|Port_address|Internal_Server/Ip_address|Internal_Server/Port_address)$`);
const ADDRESSES = {
  Ip_address: 'device_address',
  Port_address: 'device_port',
  'Internal_Server/Ip_address': 'server_address',
  'Internal_Server/Port_address': 'server_port',
};

const isName = (text) => text.length <= NAME_CHARACTERS_MAX && NAME.test(text);

// The device and the kind of message: status, reading, waveform or address.
const parseTopic = (topic) => {
  const [, papers, address] = topic.match(PAPERS) ?? [];
  if (papers) return { id: papers, kind: 'address', name: ADDRESSES[address] };
  const [, id, rest, channel] = topic.match(OURS) ?? [];
  if (!id) return undefined;
  if (channel === undefined) return { id, kind: rest };
  return isName(channel) ? { id, kind: 'waveform', channel } : undefined;
};

// Empty: the message was removed.
const parseAddress = (name, payload) => (/^[0-9A-Za-z.:%[\]_-]{0,64}$/.test(payload) ? payload : undefined);

const parse = (payload) => {
  if (typeof payload !== 'string' || payload.length > PAYLOAD_CHARACTERS_MAX) return undefined;
  try {
    const value = JSON.parse(payload);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
};

const parseTime = (text) => (typeof text === 'string' ? Date.parse(text) : NaN);
const isUnit = (unit) => typeof unit === 'string' && unit.length <= UNIT_CHARACTERS_MAX;
const uncertainty = (value) => (Number.isFinite(value) && value >= 0 ? value : 0);

// A number keeps the digits that its device wrote: 36.600 is not 36.6. JSON.parse would drop them, so each gets its text beside it.
// Within a string of JSON a quotation mark is escaped, so that no string can look like this.
const withTexts = (payload) => payload.replace(/"value":(-?[0-9][0-9.eE+-]{0,23})/g, '"value":$1,"text":"$1"');

const parseReading = (payload) => {
  const json = typeof payload === 'string' ? parse(withTexts(payload)) : undefined;
  const time_ms = parseTime(json?.time);
  if (!Number.isFinite(time_ms) || typeof json.values !== 'object' || json.values === null) return undefined;
  const values = new Map();
  for (const [name, value] of Object.entries(json.values)) {
    if (!isName(name) || !Number.isFinite(value?.value) || typeof value.text !== 'string' || !isUnit(value.unit)) return undefined;
    values.set(name, { text: value.text, unit: value.unit, plausible: value.plausible !== false });
  }
  return { time_ms, assurance: assurance(json), uncertainty_ms: uncertainty(json.uncertainty_ms), values };
};

const parseWaveform = (payload) => {
  const json = parse(payload);
  const t0_ms = parseTime(json?.t0);
  const { interval_ms, unit, values } = json ?? {};
  const isWhole =
    Number.isFinite(t0_ms) &&
    Number.isFinite(interval_ms) &&
    interval_ms > 0 &&
    isUnit(unit) &&
    Array.isArray(values) &&
    values.length > 0 &&
    values.length <= VALUES_MAX &&
    values.every(Number.isFinite);
  return isWhole ? { t0_ms, interval_ms, uncertainty_ms: uncertainty(json.uncertainty_ms), assurance: assurance(json), unit, values } : undefined;
};

const assurance = (json) => (json.assurance === 'authenticated' ? 'authenticated' : 'confidential-only');

module.exports = { parseAddress, parseReading, parseTopic, parseWaveform };
