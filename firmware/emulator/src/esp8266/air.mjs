// The radio around the modem: Wi-Fi networks that are there or not, what their passwords are, where addresses lead on this
// machine, and how much went over the air. It knows nothing of AT commands.

/** Bytes of a network's name, at most (IEEE 802.11 §9.4.2.2). */
const NAME_LEN_MAX = 32;
/** What a TCP segment adds to its data: IPv4 and TCP header without options, LLC and SNAP, 802.11 header and check sum. */
export const SEGMENT_OVERHEAD_LEN = 20 + 20 + 8 + 24 + 4;
/** A segment's data, at most (ESP8266: 1,460). */
export const SEGMENT_LEN_MAX = 1_460;

export class Network {
  constructor(name, { password = '', rssi_dbm = -55, channel = 6, isUp = true, address = '192.168.7.20' } = {}) {
    this.name = Buffer.from(name);
    if (this.name.length === 0 || this.name.length > NAME_LEN_MAX) {
      throw new Error(`a network's name has 1 to ${NAME_LEN_MAX} bytes`);
    }
    Object.assign(this, { password, rssi_dbm, channel, isUp, address });
  }

  get encryption() {
    return this.password === '' ? 0 : 3;
  }
}

export class Air {
  networks = [];
  /** Called when a network appears or goes. */
  onChange = () => {};
  /** 'host:port' as the program asks for it → {host, port} on this machine. What is not here is taken as it is. */
  routes = new Map();
  traffic = { sent_segments: 0, sent_bytes: 0, received_segments: 0, received_bytes: 0 };

  constructor(networks = []) {
    this.networks = networks;
  }

  find(name) {
    return this.networks.find((network) => network.isUp && network.name.equals(name)) ?? null;
  }

  visible() {
    return this.networks.filter(({ isUp }) => isUp);
  }

  /** All networks appear or go. */
  switchWifi(isUp) {
    for (const network of this.networks) network.isUp = isUp;
    this.onChange();
  }

  route(host, port) {
    return this.routes.get(`${host}:${port}`) ?? { host, port };
  }

  countSent(len) {
    const segments = Math.ceil(len / SEGMENT_LEN_MAX);
    this.traffic.sent_segments += segments;
    this.traffic.sent_bytes += len;
    // Every second segment is acknowledged at least (RFC 9293 §3.8.6.3).
    this.traffic.received_segments += Math.ceil(segments / 2);
  }

  countReceived(len) {
    this.traffic.received_segments += Math.ceil(len / SEGMENT_LEN_MAX);
    this.traffic.received_bytes += len;
    this.traffic.sent_segments += 1;
  }
}
