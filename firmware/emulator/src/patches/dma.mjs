// An aborted DMA channel reads as aborted (datasheet §2.5.5.3: CHAN_ABORT is zero when it is done). rp2040js gives ones for
// ever, and a program that waits for the abort hangs.

const CHAN_ABORT = 0x444;

export function patchDma(rp) {
  const { readUint32 } = rp.dma;
  rp.dma.readUint32 = function read(offset) {
    // rp2040js aborts within the write.
    return offset === CHAN_ABORT ? 0 : readUint32.call(this, offset);
  };
}
