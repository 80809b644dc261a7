// Takes an AT command apart: name, kind and parameters, quoted and escaped (Espressif, ESP-AT User Guide, "AT Command
// Types"). Text stays bytes, since a network's name need not be UTF-8; each byte is one character here.

/** A command with its line end, at most. */
export const COMMAND_LEN_MAX = 256;

/** {name, suffix: '' | '_CUR' | '_DEF', kind: 'execute' | 'set' | 'query' | 'test', values: [string]}, or null. */
export function parseCommand(line) {
  const match = /^AT(?:\+?([A-Z0-9]+?)(_CUR|_DEF)?)?(=\?|\?|=(.*))?$/s.exec(line);
  if (!match) return null;
  const [, name = '', suffix = '', ending, text] = match;
  if (ending === undefined) return { name, suffix, kind: 'execute', values: [] };
  if (ending === '?') return { name, suffix, kind: 'query', values: [] };
  if (ending === '=?') return { name, suffix, kind: 'test', values: [] };
  const values = splitValues(text);
  return values && { name, suffix, kind: 'set', values };
}

function splitValues(text) {
  const values = [''];
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (letter === '\\' && i + 1 < text.length) values[values.length - 1] += text[++i];
    else if (letter === '"') isQuoted = !isQuoted;
    else if (letter === ',' && !isQuoted) values.push('');
    else values[values.length - 1] += letter;
  }
  return isQuoted ? null : values;
}
