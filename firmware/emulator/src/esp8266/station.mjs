// The modem as a station of a Wi-Fi network: joining with its reasons to fail, losing the network, finding it again.

import { MILLISECOND, SECOND } from '../world-clock.mjs';

const ASSOCIATION_NANOS = 1 * SECOND;
const DHCP_NANOS = 600 * MILLISECOND;
const SEARCH_NANOS = 2 * SECOND;
const REFUSAL_NANOS = 2.5 * SECOND;
/** How long it takes to notice that a network is gone, and that it is there again. */
const LOSS_NANOS = 500 * MILLISECOND;
const REJOIN_NANOS = 3 * SECOND;

/** The numbers of +CWJAP. */
const [WRONG_PASSWORD, NOT_FOUND] = [2, 3];

export class Station {
  /** The network it is on, or null. */
  network = null;
  /** What it looks for by itself: {name, password}. */
  #wanted = null;

  constructor(modem, air) {
    Object.assign(this, { modem, air });
  }

  forget() {
    this.network = null;
    this.#wanted = null;
  }

  get address() {
    return this.network?.address ?? '0.0.0.0';
  }

  /** AT+CWJAP: calls back with null or the number why not. */
  join(name, password, done) {
    this.leave();
    const network = this.air.find(name);
    if (!network) return this.modem.after(SEARCH_NANOS, () => done(NOT_FOUND));
    if (network.password !== password) return this.modem.after(REFUSAL_NANOS, () => done(WRONG_PASSWORD));
    return this.#associate(network, { name, password }, done);
  }

  #associate(network, wanted, done) {
    this.modem.after(ASSOCIATION_NANOS, () => {
      if (!network.isUp) return done(NOT_FOUND);
      this.modem.say('WIFI CONNECTED');
      return this.modem.after(DHCP_NANOS, () => {
        if (!network.isUp) return done(NOT_FOUND);
        this.network = network;
        this.#wanted = wanted;
        this.modem.say('WIFI GOT IP');
        return done(null);
      });
    });
  }

  /** After a start or a loss; no one waits for the outcome. */
  joinByItself(wanted) {
    this.#wanted = wanted;
    const network = this.air.find(wanted.name);
    if (network && network.password === wanted.password) this.#associate(network, wanted, () => undefined);
  }

  /** AT+CWQAP, or before another join. Says so if it was on a network. */
  leave() {
    this.#wanted = null;
    if (!this.network) return;
    this.network = null;
    this.#disconnected();
  }

  #disconnected() {
    for (const link of this.modem.links.cutAll()) this.modem.say(`${link},CLOSED`);
    this.modem.say('WIFI DISCONNECT');
  }

  airChanged() {
    if (this.modem.isOff) return;
    if (this.network && !this.network.isUp) {
      const lost = this.network;
      this.modem.after(LOSS_NANOS, () => {
        if (this.network !== lost) return;
        this.network = null;
        this.#disconnected();
      });
    } else if (!this.network && this.#wanted) {
      this.modem.after(REJOIN_NANOS, () => {
        this.modem.links.forgetCut();
        if (!this.network && this.#wanted) this.joinByItself(this.#wanted);
      });
    }
  }
}
