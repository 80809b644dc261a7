// From what was counted on the emulated device to milliamperes: currents of data sheets and assumptions that are said. It
// measures nothing.

import { SEGMENT_OVERHEAD_LEN } from './esp8266/air.mjs';

export { SEGMENT_OVERHEAD_LEN };

/**
 * ESP8266EX Datasheet: table 5-2 (transmitting and receiving 802.11n, MCS7) and table 3-4 (modem-sleep: the radio is off
 * between beacons, the modem's processor works).
 */
export const MODEM_MA = { transmit: 120, receive: 56, radio_off: 15 };
/**
 * RP2040 Datasheet §5.4 gives no current for one core at 125 MHz. 20 mA working and 10 mA in WFE with clocks running are
 * assumed, on the high side; sleeping as the firmware does it stops no clock.
 */
export const PICO_MA = { working: 20, waiting: 10 };
/** What the paper measured for its device, in mA. */
export const PAPER_MA = 110;

/** A slow rate of 802.11n (MCS0), as at the edge of a ward; faster ones only make the radio's part smaller. */
export const AIR_BITS_PER_SECOND = 6_500_000;
/** 802.11n at 2.4 GHz: DIFS, mean back-off, preamble, SIFS and acknowledgement, for every frame (IEEE 802.11 §10, §19). */
export const FRAME_EXTRA_MICROS = 28 + 67 + 40 + 10 + 44;
/**
 * The radio stays on after each exchange until it may sleep again. 802.11 gives no number; what is said of the ESP8266's
 * modem-sleep is some tens of milliseconds.
 */
export const AWAKE_AFTER_EXCHANGE_MILLIS = 30;

/** Seconds of radio a second: {transmit, receive}. `exchanges` are wake-ups that do not overlap. */
export function radioTime({ sent_segments, sent_bytes, received_segments, received_bytes, seconds, exchanges }) {
  const onAir = (segments, bytes) =>
    ((segments * SEGMENT_OVERHEAD_LEN + bytes) * 8) / AIR_BITS_PER_SECOND + (segments * FRAME_EXTRA_MICROS) / 1e6;
  const transmit = onAir(sent_segments, sent_bytes) / seconds;
  const exchanges_per_second = exchanges / seconds;
  const awake = Math.min(1, exchanges_per_second * (AWAKE_AFTER_EXCHANGE_MILLIS / 1_000)) + transmit;
  const receive = Math.min(1 - transmit, Math.max(awake - transmit, onAir(received_segments, received_bytes) / seconds));
  return { transmit, receive };
}

/** Milliamperes, which are mAh of each hour, of the modem with its radio managed, and of the Pico. */
export function current_ma({ radio, cycles_per_second, clock_hz }) {
  const off = 1 - radio.transmit - radio.receive;
  const modem = radio.transmit * MODEM_MA.transmit + radio.receive * MODEM_MA.receive + off * MODEM_MA.radio_off;
  const working = cycles_per_second / clock_hz;
  const pico = working * PICO_MA.working + (1 - working) * PICO_MA.waiting;
  return { modem, pico, total: modem + pico };
}
