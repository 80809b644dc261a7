// The configuration page: shows what the device says of itself, checks what is typed, and sends it sealed. It asks
// the device alone, and keeps nothing.
import { fromHex, seal, toBytes, toHex } from './seal.js';

const element = (id) => document.getElementById(id);
const state = JSON.parse(element('state').textContent);
const [network, name, password, server, port, key, save, result] =
  ['network', 'name', 'password', 'server', 'port', 'key', 'save', 'result'].map(element);
const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const address = RegExp(`^${octet}(\\.${octet}){3}$`);
const hostLabel = /^[a-z\d]([a-z\d-]{0,61}[a-z\d])?$/i;

// What the device would say of a field, sooner: undefined when it is right.
const faults = {
  name: () => {
    const length = toBytes(name.value).length;
    if (network.value) return;
    if (!length) return 'Enter the name of the network.';
    if (length > 32) return 'Too long: at most 32 bytes.';
  },
  password: () => {
    const { value } = password;
    if (!value) {
      if (network.selectedOptions[0].dataset.secured) return 'This network needs its password.';
    } else if (!/^([ -~]{8,63}|[\da-f]{64})$/i.test(value)) return '8 to 63 letters, digits or signs.';
  },
  server: () => {
    const value = server.value.trim();
    if (!(/(^|\.)\d+$/.test(value) ? address.test(value) : value.length < 254 && value.split('.').every((label) => hostLabel.test(label)))) {
      return 'An address such as 192.168.1.20, or a name.';
    }
  },
  port: () => {
    if (!/^\d+$/.test(port.value.trim()) || !(+port.value > 0 && port.value < 65536)) return 'A number from 1 to 65535.';
  },
  key: () => {
    if (!/^[\da-f]{32}$/i.test(keyDigits())) return `32 digits 0-9 and a-f, from the label; here are ${keyDigits().length}.`;
  },
};
const keyDigits = () => key.value.replace(/[\s-]/g, '');

const check = (id) => {
  const fault = faults[id]?.();
  if (id in faults) {
    element(id + '-error').textContent = fault ?? '';
    element(id).setAttribute('aria-invalid', !!fault);
  }
  return !fault;
};

const say = (text, isBad) => {
  result.className = isBad ? 'bad' : '';
  result.textContent = text;
};

// Too many wrong keys: the button counts the seconds, which are said once.
const wait = (seconds) => {
  say(`Too many wrong keys. Wait ${seconds} seconds.`, true);
  save.disabled = true;
  const tick = () => {
    save.textContent = seconds ? `Wait ${seconds} s` : 'Save';
    save.disabled = !!seconds--;
    if (save.disabled) setTimeout(tick, 1000);
    else say('');
  };
  tick();
};

const send = async (again) => {
  const settings = {
    server: server.value.trim(),
    port: +port.value,
    wifiName: network.value ? fromHex(network.value) : toBytes(name.value),
    wifiPassword: password.value,
  };
  const body = seal(settings, fromHex(keyDigits()), fromHex(state.nonce));
  const answer = await (await fetch('/save', { method: 'POST', body })).json();
  state.nonce = answer.nonce ?? state.nonce;
  save.disabled = false;
  if (answer.saved) {
    element('form').hidden = true;
    say('Saved. The device is restarting and joins your Wi-Fi network. Its own network ends; you can close this page.');
    result.focus();
  } else if (answer.error == 'stale' && !again) await send(true);
  else if (answer.seconds) wait(answer.seconds);
  else if (answer.error == 'key') {
    say(`Wrong setup key. Tries left: ${answer.tries}.`, true);
    key.focus();
  } else say(`Not saved: ${answer.reason ?? answer.error}.`, true);
};

element('device').textContent = state.id;
element('firmware').textContent = state.firmware;
if (state.trouble) {
  element('trouble').textContent = `Last connection: ${state.trouble}.`;
  element('trouble').hidden = false;
}
for (const [hex, rssi, secured] of [...state.networks, ['']]) {
  const text = hex ? `${new TextDecoder().decode(fromHex(hex))} (${rssi} dBm${secured ? '' : ', open'})` : 'Other network';
  const option = new Option(text, hex);
  if (secured) option.dataset.secured = 1;
  network.add(option);
}
const showOther = () => {
  element('other').hidden = network.value;
};
showOther();
network.onchange = () => {
  showOther();
  check('password');
};
element('show').onchange = (event) => {
  password.type = event.target.checked ? 'text' : 'password';
};
key.value = location.hash.slice(1);
if (key.value) history.replaceState(null, '', '/');
if (state.wait) wait(state.wait);
element('form').oninput = (event) => check(event.target.id);
element('form').onsubmit = async (event) => {
  event.preventDefault();
  const wrong = Object.keys(faults).filter((id) => !check(id));
  if (wrong.length) {
    say('Not saved: correct the marked fields.', true);
    element(wrong[0]).focus();
    return;
  }
  save.disabled = true;
  say('Saving…');
  try {
    await send();
  } catch {
    save.disabled = false;
    say('The device did not answer. Stay on its network and save again.', true);
  }
};
