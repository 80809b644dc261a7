// An ESP8266 with Espressif's AT firmware (NonOS AT 1.7) on UART 0: takes bytes apart into commands and data, answers when
// an answer is due, and can be made to misbehave as real ones do. What each command means is in commands.mjs.

import { EventEmitter } from 'node:events';

import { MILLISECOND } from '../world-clock.mjs';
import { COMMANDS } from './commands.mjs';
import { LINKS_MAX, Links } from './links.mjs';
import { COMMAND_LEN_MAX, parseCommand } from './parameters.mjs';
import { Serial } from './serial.mjs';
import { SEGMENT_LEN_MAX } from './air.mjs';
import { Stations } from './stations.mjs';
import { Station } from './station.mjs';

const BOOT_NANOS = 300 * MILLISECOND;
/** From the end of a command to its answer, at least. */
const ANSWER_NANOS = 1 * MILLISECOND;
/** From data being sent to its acknowledgement by the peer, on a good network. */
const ACKNOWLEDGED_NANOS = 5 * MILLISECOND;
/** What may wait for the serial line before the modem's TCP windows close (4 segments), and when they open again. */
const WAITING_LEN_MAX = 4 * SEGMENT_LEN_MAX;
/** What the boot loader says at 74,880 baud. */
const BOOT_NOISE = Buffer.from([0xe0, 0x6c, 0x9f, 0x00, 0x8c, 0xec, 0xfe, 0x0c]);
const LINE_FEED = 10;

/**
 * Events: `command` (text), `said` (text), `listening` (port, port on this machine), `sent` and `received` (link, length).
 */
export class Esp8266 extends EventEmitter {
  serial = new Serial();
  faults = { busy_until: 0, silent_until: 0, sends_to_fail: 0 };
  #world = null;
  #line = [];
  /** The command that is not answered yet, or null. */
  #working = null;
  /** Data that CIPSEND waits for: {link, len, bytes}. */
  #expected = null;
  #timers = new Set();
  /** The port of this machine for each port that the program listened on: it stays, as a person's browser knows it. */
  #host_ports;
  #epoch = 0;
  /** What it keeps without power. */
  #kept = { mode: 1, network: null };

  constructor(air, { ports = {} } = {}) {
    super();
    this.air = air;
    this.#host_ports = new Map(Object.entries(ports).map(([port, host_port]) => [Number(port), host_port]));
    this.links = new Links({
      connected: (link) => this.say(`${link},CONNECT`),
      data: (link, bytes, remote) => this.#received(link, bytes, remote),
      closed: (link) => this.say(`${link},CLOSED`),
      admits: (address) => this.stations.admit(address),
    });
    this.stations = new Stations(this);
    this.station = new Station(this, air);
    this.serial.onByte = (byte) => this.#byte(byte);
    this.serial.onIdle = () => this.links.pause(false);
    air.onChange = () => this.station.airChanged();
    this.#forget();
  }

  attach(rp, world) {
    const isFirst = this.#world === null;
    this.#world = world;
    this.serial.attach(rp, world);
    if (isFirst || this.isOff) this.#boot();
  }

  powerLost() {
    this.#end();
    this.isOff = true;
  }

  #forget() {
    Object.assign(this, { isOff: true, isReady: false, echo: true, mux: false, shows_peer: false, mode: this.#kept.mode });
    this.access_point = { name: 'AI-THINKER_1A2B3C', password: '', encryption: 0, stations_max: 4 };
  }

  #end() {
    this.#epoch++;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.serial.clear();
    this.links.destroy();
    this.stations.forget();
    this.station.forget();
    this.#line = [];
    this.#working = null;
    this.#expected = null;
    this.#forget();
  }

  #boot() {
    this.isOff = false;
    this.serial.send(BOOT_NOISE, { isFramed: false });
    this.after(BOOT_NANOS, () => {
      this.isReady = true;
      this.say('\r\nready');
      if (this.#kept.network && this.mode & 1) this.station.joinByItself(this.#kept.network);
    });
  }

  /** The module restarts, as by its reset pin, a brown-out or AT+RST. */
  restart() {
    if (this.isOff) return;
    this.#end();
    this.#boot();
  }

  get nanos() {
    return this.#world?.nanos ?? 0;
  }

  /** Once, after this time, unless the module restarts before. */
  after(nanos, callback) {
    const timer = this.#world.after(nanos, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
  }

  /** For what real sockets answer: runs only if the module did not restart meanwhile. */
  whenDone(promise, callback) {
    const epoch = this.#epoch;
    const settled = (result) => epoch === this.#epoch && callback(result);
    promise.then(settled, (error) => settled(error));
  }

  keep(settings) {
    Object.assign(this.#kept, settings);
  }

  // Speaking.

  #out(bytes) {
    if (this.nanos < this.faults.silent_until) return;
    this.serial.send(bytes);
    if (this.serial.waiting_len > WAITING_LEN_MAX) this.links.pause(true);
  }

  /** A line that no one asked for, or part of an answer. */
  say(text) {
    this.emit('said', text);
    // One character is one byte, whatever a network's name holds.
    this.#out(Buffer.from(`${text}\r\n`, 'latin1'));
  }

  /** The end of an answer; the next command can come. */
  finish(text = 'OK') {
    this.#working = null;
    this.say(`\r\n${text}`);
  }

  #received(link, bytes, { address, port }) {
    this.air.countReceived(bytes.length);
    this.emit('received', link, bytes.length);
    for (let at = 0; at < bytes.length; at += SEGMENT_LEN_MAX) {
      const piece = bytes.subarray(at, at + SEGMENT_LEN_MAX);
      const peer = this.shows_peer ? `,"${this.stations.addressOf(address)}",${port}` : '';
      this.#out(`\r\n+IPD,${this.mux ? `${link},` : ''}${piece.length}${peer}:`);
      this.#out(piece);
    }
  }

  // Hearing.

  #byte(byte) {
    if (!this.isReady || this.nanos < this.faults.silent_until) return;
    if (this.#expected) {
      this.#expected.bytes.push(byte);
      if (this.#expected.bytes.length === this.#expected.len) this.#sendExpected();
      return;
    }
    if (this.echo) this.serial.send([byte]);
    // The real one has a buffer as well, and forgets what does not fit.
    if (this.#line.length < COMMAND_LEN_MAX) this.#line.push(byte);
    if (byte !== LINE_FEED) return;
    const line = Buffer.from(this.#line).toString('latin1').trim();
    this.#line = [];
    if (line !== '') this.#command(line);
  }

  #command(line) {
    this.emit('command', line.replace(/^(AT\+CWJAP\w*=".*?",|AT\+CWSAP\w*=".*?",)".*?"/, '$1"…"'));
    if (this.#working !== null) return this.say(`busy ${this.#working === 'CIPSEND' ? 's' : 'p'}...`);
    if (this.nanos < this.faults.busy_until) return this.say('busy p...');
    const command = parseCommand(line);
    this.#working = command?.name ?? '?';
    const handler = command && COMMANDS[command.name];
    this.after(ANSWER_NANOS, () => (handler ? handler(this, command) : this.finish('ERROR')));
    return undefined;
  }

  /** CIPSEND's prompt; the data that follows is no command. */
  expectData(link, len) {
    this.#expected = { link, len, bytes: [] };
    this.emit('said', '>');
    this.#out('\r\nOK\r\n> ');
  }

  #sendExpected() {
    const { link, len, bytes } = this.#expected;
    this.#expected = null;
    this.say(`\r\nRecv ${len} bytes`);
    if (this.faults.sends_to_fail > 0) {
      this.faults.sends_to_fail--;
      this.after(ACKNOWLEDGED_NANOS, () => this.finish('SEND FAIL'));
      return;
    }
    this.air.countSent(len);
    this.emit('sent', link, len);
    this.whenDone(this.links.send(link, Buffer.from(bytes)), (isSent) =>
      this.after(ACKNOWLEDGED_NANOS, () => this.finish(isSent === true ? 'SEND OK' : 'SEND FAIL')),
    );
  }

  /** Listens on the port of this machine that belongs to this port of the modem. */
  async listen(port, open) {
    const host_port = await open(this.#host_ports.get(port) ?? 0);
    this.#host_ports.set(port, host_port);
    this.emit('listening', port, host_port);
  }

  // Faults, as real modems and networks have them.

  busyFor(nanos) {
    this.faults.busy_until = this.nanos + nanos;
  }

  silenceFor(nanos) {
    this.faults.silent_until = this.nanos + nanos;
  }

  failSends(count) {
    this.faults.sends_to_fail = count;
  }

  /** The network ends a connection; without a number, all. */
  closeLink(link) {
    const links = link === undefined ? [...Array(LINKS_MAX).keys()] : [link];
    for (const number of links) if (this.links.close(number)) this.say(`${number},CLOSED`);
  }
}
