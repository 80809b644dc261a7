// I2C: IC_INTR_MASK can be written (rp2040js ignores it, so no interrupt ever comes), and bytes take their time on the bus
// (rp2040js finishes a transfer within the instruction that starts it).

const IC_INTR_MASK = 0x30;
const IC_RAW_INTR_STAT = 0x34;
const TX_EMPTY = 1 << 4;
const RX_FULL = 1 << 2;
const BITS_PER_BYTE = 9;
const ENABLE = 1;

export function patchI2c(rp) {
  for (const i2c of rp.i2c) {
    const { writeUint32, readUint32 } = i2c;
    i2c.writeUint32 = function write(offset, value) {
      if (offset !== IC_INTR_MASK) return writeUint32.call(this, offset, value);
      this.intEnable = value & 0x1fff;
      refreshLevels(this);
      return this.checkInterrupts();
    };
    i2c.readUint32 = function read(offset) {
      if (offset === IC_RAW_INTR_STAT) refreshLevels(this);
      return readUint32.call(this, offset);
    };
  }
}

/** TX_EMPTY and RX_FULL are levels, not events (datasheet §4.3.17): they hold as long as the FIFO is so. */
function refreshLevels(i2c) {
  const isEmpty = i2c.enable & ENABLE && i2c.txFIFO.itemCount <= i2c.txThreshold;
  const isFull = i2c.rxFIFO.itemCount > i2c.rxThreshold;
  i2c.intRaw = (i2c.intRaw & ~(TX_EMPTY | RX_FULL)) | (isEmpty ? TX_EMPTY : 0) | (isFull ? RX_FULL : 0);
}

/**
 * Connects devices to a bus: `deviceAt(address)` gives {start(), write(byte), read(), stop()} or undefined, which is a
 * missing acknowledge. Every byte takes nine periods of the bus clock that the program set.
 */
export function connectI2c(rp, i2c, deviceAt) {
  let device;
  let then = () => {};
  const alarm = rp.clock.createAlarm(() => then());
  const later = (bits, action) => {
    then = action;
    alarm.schedule((bits * (i2c.sclLowPeriod + i2c.sclHighPeriod) * 1e9) / rp.clkSys);
  };
  i2c.onStart = () => later(1, () => i2c.completeStart());
  i2c.onConnect = (address) =>
    later(BITS_PER_BYTE, () => {
      device = deviceAt(address);
      device?.start();
      i2c.completeConnect(device !== undefined);
    });
  i2c.onWriteByte = (byte) => later(BITS_PER_BYTE, () => i2c.completeWrite(device?.write(byte) ?? false));
  i2c.onReadByte = () => later(BITS_PER_BYTE, () => i2c.completeRead(device?.read() ?? 0xff));
  i2c.onStop = () => later(1, () => i2c.completeStop());
}
