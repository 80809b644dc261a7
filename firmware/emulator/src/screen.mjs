// What a person sees of an emulated device: a line for each thing that happens, and below them, on a terminal, one line with
// how it is now. It decides nothing.

const [DIM, BOLD, YELLOW, CLEAR_LINE, PLAIN] = ['\x1b[2m', '\x1b[1m', '\x1b[33m', '\r\x1b[K', '\x1b[0m'];
const REFRESH_MILLIS = 200;

export class Screen {
  #board;
  #isTerminal;
  #isDetailed;
  #refresh = null;
  #last = { wall_millis: performance.now(), nanos: 0 };
  #speed = 1;

  constructor(board, { isDetailed = false, output = process.stdout } = {}) {
    this.#board = board;
    this.output = output;
    this.#isTerminal = output.isTTY === true;
    this.#isDetailed = isDetailed;
    this.#listen();
  }

  #listen() {
    const { pico, modem } = this.#board;
    this.#board.on('log', (line) => this.line('log', line));
    pico.on('start', (reason) => this.line('pico', reason === 'watchdog' ? 'restarts by its watchdog' : 'has power'));
    pico.on('power-lost', () => this.line('pico', 'has no power'));
    pico.on('fault', ({ pc, lr }) => this.line('pico', `hard fault at 0x${pc.toString(16)}, called from 0x${lr.toString(16)}`));
    pico.on('flash', ({ kind, at, duration_nanos }) => this.#detail('flash', `${kind} at 0x${at.toString(16)}, ${duration_nanos / 1e6} ms`));
    modem.on('command', (text) => this.#detail('modem', `< ${text}`));
    modem.on('said', (text) => this.#detail('modem', `> ${text.trim()}`));
    if (!this.#isTerminal) return;
    this.#refresh = setInterval(() => this.#showStatus(), REFRESH_MILLIS);
  }

  line(source, text) {
    const seconds = (this.#board.pico.world.nanos / 1e9).toFixed(3).padStart(9);
    const style = source === 'log' ? BOLD : '';
    const shown = this.#isTerminal ? `${CLEAR_LINE}${DIM}${seconds} ${source.padEnd(5)}${PLAIN} ${style}${text}${PLAIN}` : `${seconds} ${source.padEnd(5)} ${text}`;
    this.output.write(`${shown}\n`);
  }

  /** Text of its own, without time. */
  say(text) {
    this.output.write(`${this.#isTerminal ? CLEAR_LINE : ''}${text}\n`);
  }

  #detail(source, text) {
    if (this.#isDetailed && text.length > 2) this.line(source, text);
  }

  #showStatus() {
    const columns = this.output.columns ?? 80;
    this.output.write(`${CLEAR_LINE}${YELLOW}${this.status().slice(0, columns - 1)}${PLAIN}`);
  }

  /** LED, switch, network, connections, bytes on the line, speed. */
  status() {
    const { pico, led, modem, air } = this.#board;
    const { to_pico, from_pico } = modem.serial.traffic;
    const links = modem.links.describe().map(({ kind, peer }) => `${kind} ${peer}`);
    return [
      pico.isOn ? `LED ${led.isLit ? '●' : '○'}` : 'no power',
      `switch ${this.#board.switch.position ?? 'between'}`,
      `Wi-Fi ${air.visible().length > 0 ? (modem.station.network ? 'joined' : 'there') : 'away'}`,
      links.join(', ') || 'no connections',
      `UART ${from_pico} out ${to_pico} in`,
      `${this.#measuredSpeed()} % of real time`,
    ].join(' | ');
  }

  #measuredSpeed() {
    const now = { wall_millis: performance.now(), nanos: this.#board.pico.world.nanos };
    const passed = now.wall_millis - this.#last.wall_millis;
    if (passed >= 1_000) {
      this.#speed = (now.nanos - this.#last.nanos) / 1e6 / passed;
      this.#last = now;
    }
    return Math.round(this.#speed * 100);
  }

  close() {
    clearInterval(this.#refresh);
    if (this.#isTerminal) this.output.write(CLEAR_LINE);
  }
}
