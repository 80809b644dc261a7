// Reads a firmware's ELF file (32 bits, little-endian: ELF specification 1.2) into the bytes that lie in flash. It reads
// loadable segments only, by their load address, as `probe-rs` and `elf2uf2` do.

const FLASH_START = 0x1000_0000;
const FLASH_END = 0x1100_0000;
const PT_LOAD = 1;

export class ElfError extends Error {}

/** The flash image, from the flash's start. */
export function flashImage(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (file.length < 52 || view.getUint32(0) !== 0x7f454c46 || file[4] !== 1 || file[5] !== 1) {
    throw new ElfError('this is no ELF file of 32 bits, little-endian: build the firmware with cargo build --release');
  }
  const segments = loadSegments(file, view);
  if (segments.length === 0) throw new ElfError('this ELF file has nothing for the flash at 0x10000000');
  const image = new Uint8Array(Math.max(...segments.map(({ at, bytes }) => at + bytes.length))).fill(0xff);
  for (const { at, bytes } of segments) image.set(bytes, at);
  return image;
}

function loadSegments(file, view) {
  const [table, entry_len, entries] = [view.getUint32(28, true), view.getUint16(42, true), view.getUint16(44, true)];
  const segments = [];
  for (let i = 0; i < entries; i++) {
    const header = table + i * entry_len;
    if (view.getUint32(header, true) !== PT_LOAD) continue;
    const [offset, address, len] = [4, 12, 16].map((field) => view.getUint32(header + field, true));
    if (len === 0 || address < FLASH_START || address >= FLASH_END) continue;
    segments.push({ at: address - FLASH_START, bytes: file.subarray(offset, offset + len) });
  }
  return segments;
}
