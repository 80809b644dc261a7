// The stations of the modem's own network. On this machine a station is an address of the loopback network: 127.0.0.1 is the
// first phone, 127.0.0.2 a second one, which is refused where one station is the most.

export class Stations {
  #stations = new Map();

  constructor(modem) {
    this.modem = modem;
  }

  forget() {
    this.#stations.clear();
  }

  get count() {
    return this.#stations.size;
  }

  /** Whether a peer at this address of the machine reaches the modem; the first connection of a phone joins it. */
  admit(address) {
    const { mode, access_point } = this.modem;
    if (!(mode & 2)) return this.modem.station.network !== null;
    if (this.#stations.has(address)) return true;
    if (this.#stations.size >= access_point.stations_max) return false;
    const number = this.#stations.size + 2;
    const station = { mac: `02:00:00:00:00:0${number}`, address: `192.168.4.${number}` };
    this.#stations.set(address, station);
    this.modem.say(`+STA_CONNECTED:"${station.mac}"`);
    this.modem.say(`+DIST_STA_IP:"${station.mac}","${station.address}"`);
    return true;
  }

  /** The phone leaves the network. */
  leave(address) {
    const station = this.#stations.get(address);
    if (!station) return;
    this.#stations.delete(address);
    this.modem.say(`+STA_DISCONNECTED:"${station.mac}"`);
  }

  /** The address that the modem sees. */
  addressOf(address) {
    return this.#stations.get(address)?.address ?? address;
  }
}
