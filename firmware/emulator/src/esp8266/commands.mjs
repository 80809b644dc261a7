// What the AT commands do (Espressif, "ESP8266 AT Instruction Set" 3.0 and ESP-AT User Guide): each takes the modem and the
// parsed command, and ends by `finish` now or later.

import { MILLISECOND } from '../world-clock.mjs';
import { LINKS_MAX } from './links.mjs';

/** AT+CIPSEND takes so many bytes at most. */
export const SEND_LEN_MAX = 2_048;
const SCAN_NANOS = 1_200 * MILLISECOND;
const PASSWORD_LEN_MIN = 8;
const ALL_LINKS = 5;

const latin1 = (text) => Buffer.from(text, 'latin1');
const integer = (text) => (/^\d+$/.test(text ?? '') ? Number(text) : NaN);
const isLink = (link) => link >= 0 && link < LINKS_MAX;
const isSaved = ({ suffix }) => suffix !== '_CUR';
const ok = (modem) => modem.finish();
const error = (modem, reason) => {
  if (reason) modem.say(reason);
  modem.finish('ERROR');
};

function version(modem) {
  modem.say('AT version:1.7.4.0(May 11 2020 19:13:04)');
  modem.say('SDK version:3.0.4(9532ceb)');
  modem.say('compile time:May 27 2020 10:12:17');
  modem.say('Bin version(Wroom 02):1.7.4');
  modem.finish();
}

function setMode(modem, { kind, values, ...command }) {
  if (kind === 'query') modem.say(`+CWMODE:${modem.mode}`);
  else {
    const mode = integer(values[0]);
    if (!(mode >= 1 && mode <= 3)) return error(modem);
    modem.mode = mode;
    if (isSaved(command)) modem.keep({ mode });
    if (!(mode & 1)) modem.station.leave();
  }
  return modem.finish();
}

function openAccessPoint(modem, { values }) {
  const [name, password = '', channel, encryption, stations = '4'] = values;
  const [number, kind, stations_max] = [integer(channel), integer(encryption), integer(stations)];
  const isPasswordRight = kind === 0 ? true : password.length >= PASSWORD_LEN_MIN && password.length <= 64;
  const isRight = name && name.length <= 32 && number >= 1 && number <= 13 && [0, 2, 3, 4].includes(kind);
  if (!(modem.mode & 2) || !isRight || !isPasswordRight || !(stations_max >= 1 && stations_max <= 8)) return error(modem);
  modem.access_point = { name, password: kind === 0 ? '' : password, encryption: kind, stations_max };
  return modem.finish();
}

function join(modem, { kind, values, ...command }) {
  if (kind === 'query') {
    const { network } = modem.station;
    modem.say(network ? `+CWJAP:"${network.name}","00:11:22:33:44:55",${network.channel},${network.rssi_dbm}` : 'No AP');
    return modem.finish();
  }
  if (!(modem.mode & 1) || values.length < 2) return error(modem);
  const [name, password] = [latin1(values[0]), values[1]];
  if (isSaved(command)) modem.keep({ network: { name, password } });
  return modem.station.join(name, password, (reason) => {
    if (reason === null) return modem.finish();
    modem.say(`+CWJAP:${reason}`);
    return modem.finish('FAIL');
  });
}

function scan(modem) {
  if (!(modem.mode & 1)) return error(modem);
  return modem.after(SCAN_NANOS, () => {
    modem.air.visible().forEach(({ name, encryption, rssi_dbm, channel }, i) => {
      // The name goes out as it is, whatever its bytes are.
      const mac = `00:11:22:33:44:0${i}`;
      modem.say(`+CWLAP:(${encryption},"${name.toString('latin1')}",${rssi_dbm},"${mac}",${channel},-7,0)`);
    });
    modem.finish();
  });
}

function leave(modem) {
  modem.keep({ network: null });
  modem.finish();
  modem.station.leave();
}

function addresses(modem) {
  if (modem.mode & 2) {
    modem.say('+CIFSR:APIP,"192.168.4.1"');
    modem.say('+CIFSR:APMAC,"5e:cf:7f:00:00:01"');
  }
  if (modem.mode & 1) {
    modem.say(`+CIFSR:STAIP,"${modem.station.address}"`);
    modem.say('+CIFSR:STAMAC,"5c:cf:7f:00:00:01"');
  }
  modem.finish();
}

function setMux(modem, { kind, values }) {
  if (kind === 'query') modem.say(`+CIPMUX:${modem.mux ? 1 : 0}`);
  else {
    if (!['0', '1'].includes(values[0]) || modem.links.isListening) return error(modem);
    if (modem.links.open.length > 0) return error(modem, 'link is builded');
    modem.mux = values[0] === '1';
  }
  return modem.finish();
}

/** Link number first, where there can be several connections. */
function withLink(modem, values) {
  return modem.mux ? [integer(values[0]), values.slice(1)] : [0, values];
}

function connect(modem, { values }) {
  const [link, [type, host, port, local_port]] = withLink(modem, values);
  if (!isLink(link) || !host || !(integer(port) <= 65_535)) return error(modem);
  if (modem.links.isOpen(link)) return error(modem, 'ALREADY CONNECTED');
  if (type === 'UDP') return openDatagrams(modem, link, integer(local_port ?? port));
  if (type !== 'TCP') return error(modem, 'Link type ERROR');
  if (!modem.station.network) return error(modem, 'no ip');
  const network = modem.station.network;
  return modem.whenDone(modem.links.connect(link, modem.air.route(host, integer(port))), (isConnected) => {
    if (isConnected && modem.station.network === network) {
      modem.say(`${modem.mux ? `${link},` : ''}CONNECT`);
      return modem.finish();
    }
    modem.links.close(link);
    modem.finish('ERROR');
    return modem.say(`${link},CLOSED`);
  });
}

function openDatagrams(modem, link, port) {
  const opened = modem.listen(port, (host_port) => modem.links.openDatagrams(link, host_port));
  modem.whenDone(opened, (failure) => {
    if (failure) return error(modem);
    modem.say(`${modem.mux ? `${link},` : ''}CONNECT`);
    return modem.finish();
  });
}

function send(modem, { values }) {
  const [link, [len]] = withLink(modem, values);
  if (!isLink(link) || !modem.links.isOpen(link)) return error(modem, 'link is not valid');
  if (!(integer(len) >= 1 && integer(len) <= SEND_LEN_MAX)) return error(modem, 'too long');
  return modem.expectData(link, integer(len));
}

function close(modem, { values }) {
  const link = modem.mux ? integer(values[0]) : 0;
  if (modem.mux && link === ALL_LINKS) {
    modem.closeLink();
    return modem.finish();
  }
  if (!isLink(link) || !modem.links.close(link)) return error(modem, 'UNLINK');
  modem.say(`${modem.mux ? `${link},` : ''}CLOSED`);
  return modem.finish();
}

function serve(modem, { values }) {
  const [isOn, port] = [values[0] === '1', integer(values[1] ?? '333')];
  if (!modem.mux) return error(modem);
  if (!isOn) {
    modem.links.unlisten();
    return modem.finish();
  }
  if (modem.links.isListening) return error(modem, 'no change');
  const opened = modem.listen(port, (host_port) => modem.links.listen(host_port));
  return modem.whenDone(opened, (failure) => (failure ? error(modem) : modem.finish()));
}

function restart(modem) {
  modem.finish();
  // The answer is out before the module goes.
  modem.after(20 * MILLISECOND, () => modem.restart());
}

export const COMMANDS = {
  '': ok,
  E0: (modem) => ((modem.echo = false), modem.finish()),
  E1: (modem) => ((modem.echo = true), modem.finish()),
  GMR: version,
  RST: restart,
  RESTORE: (modem) => (modem.keep({ mode: 1, network: null }), restart(modem)),
  CWMODE: setMode,
  CWSAP: openAccessPoint,
  CWJAP: join,
  CWLAP: scan,
  CWQAP: leave,
  CIFSR: addresses,
  CIPMUX: setMux,
  CIPSTART: connect,
  CIPSEND: send,
  CIPCLOSE: close,
  CIPSERVER: serve,
  CIPDINFO: (modem, { values }) => ((modem.shows_peer = values[0] === '1'), modem.finish()),
  // Accepted: they change nothing that can be seen here.
  CWAUTOCONN: ok,
  CWDHCP: ok,
  CWLAPOPT: ok,
  CIPSTO: ok,
  CIPMODE: (modem, { values }) => (values[0] === '0' ? modem.finish() : error(modem)),
  CIPSERVERMAXCONN: ok,
  SLEEP: ok,
};
