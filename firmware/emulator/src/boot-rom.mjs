// A stand-in for the RP2040's boot ROM, written from its datasheet (§2.8.3): the table by which a program finds ROM
// functions, and for each function a trap that the emulator serves. Nothing of the real ROM is in it. It boots nothing: the
// chip starts at the program's vector table.

const ROM_LEN = 16 * 1024;
const TRAPS_AT = 0x100;
const UDF = 0xde00;
const BX_LR = 0x4770;
/** UDF numbers from here on are ROM functions; a program has no code at these addresses. */
const TRAP_FIRST = 0x80;

/** The functions by their two letters (datasheet §2.8.3.1); each is served with r0..r3 and may give back r0. */
const FUNCTIONS = {
  IF: () => undefined, // connect_internal_flash
  EX: () => undefined, // flash_exit_xip
  FC: () => undefined, // flash_flush_cache
  CX: () => undefined, // flash_enter_cmd_xip
  RE: (host, [at, len]) => host.eraseFlash(at, len),
  RP: (host, [at, from, len]) => host.programFlash(at, host.readMemory(from, len)),
  MC: (host, [to, from, len]) => copy(host, to, from, len),
  C4: (host, [to, from, len]) => copy(host, to, from, len),
  MS: (host, [to, byte, len]) => fill(host, to, byte, len),
  S4: (host, [to, byte, len]) => fill(host, to, byte, len),
  P3: (_host, [word]) => bits(word), // popcount32
  L3: (_host, [word]) => Math.clz32(word), // clz32
  T3: (_host, [word]) => (word === 0 ? 32 : 31 - Math.clz32(word & -word)), // ctz32
  R3: (_host, [word]) => reversed(word), // reverse32
  UB: (host) => host.rebootToUsb(),
};
const NAMES = Object.keys(FUNCTIONS);
const LOOKUP = TRAP_FIRST + NAMES.length;

const trapAddress = (trap) => TRAPS_AT + (trap - TRAP_FIRST) * 4;

function copy(host, to, from, len) {
  host.writeMemory(to, host.readMemory(from, len));
  return to;
}

function fill(host, to, byte, len) {
  host.writeMemory(to, new Uint8Array(len).fill(byte));
  return to;
}

function bits(word) {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

function reversed(word) {
  let result = 0;
  for (let bit = 0; bit < 32; bit++) result = (result << 1) | ((word >>> bit) & 1);
  return result >>> 0;
}

/** The ROM's words. */
export function bootRom() {
  const rom = new DataView(new ArrayBuffer(ROM_LEN));
  rom.setUint32(0x10, 0x0201_754d, true); // 'M', 'u', 1, version 2
  rom.setUint16(0x14, 0x80, true); // function table
  rom.setUint16(0x16, 0xc0, true); // data table: empty
  rom.setUint16(0x18, trapAddress(LOOKUP) | 1, true); // lookup function
  for (let trap = TRAP_FIRST; trap <= LOOKUP; trap++) {
    rom.setUint16(trapAddress(trap), UDF | trap, true);
    rom.setUint16(trapAddress(trap) + 2, BX_LR, true);
  }
  return new Uint32Array(rom.buffer);
}

/**
 * Serves a trap, if it is one of the ROM. `host` does what reaches out of the processor: eraseFlash, programFlash,
 * readMemory, writeMemory, rebootToUsb; missingFunction is told of a function that is not here.
 */
export function serveTrap(core, trap, host) {
  if (core.PC >= ROM_LEN || trap < TRAP_FIRST || trap > LOOKUP) return false;
  const registers = core.registers;
  if (trap === LOOKUP) {
    registers[0] = lookUp(registers[1], host);
    return true;
  }
  const result = FUNCTIONS[NAMES[trap - TRAP_FIRST]](host, registers);
  if (result !== undefined) registers[0] = result;
  return true;
}

/** rom_table_lookup(table, code): zero where the ROM has no such function. */
function lookUp(code, host) {
  const name = String.fromCharCode(code & 0xff, (code >> 8) & 0xff);
  const index = NAMES.indexOf(name);
  if (index < 0) {
    host.missingFunction(name);
    return 0;
  }
  return trapAddress(TRAP_FIRST + index) | 1;
}
