// The peers: Node-RED's dashboard at the same server, with the page of deploy/nodered, and with its own chart for each patient.
import { writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PASSWORDS, ROOT, environment, startNodeRed } from '../../deploy/nodered/test/support/nodered.mjs';
import { folder, freePort } from './server.mjs';

const PATIENCE_MS = 300_000;

// As deploy/nodered has it: a canvas of our own in Node-RED's template, thinned to 50 columns a second, four times a second.
export const nodeRedPage = async (ends, server) => {
  const account = { tlsPort: server.tlsPort, certificate: server.certificate, mqttUser: server.user, mqttPassword: server.password };
  const env = await environment(folder(ends), account);
  const running = startNodeRed(ends, env);
  await running.said('Connected to broker');
  await running.said('Server now running');
  const enter = async (page) => {
    await page.goto(`http://127.0.0.1:${env.NODERED_PORT}/dashboard`);
    await page.fill('#name', 'nurse');
    await page.fill('#password', PASSWORDS.nurse);
    await page.click('button');
    await page.waitForSelector('.vw[data-live=true]');
  };
  return { url: `http://127.0.0.1:${env.NODERED_PORT}`, enter, stop: () => running.stop() };
};

const SHOWN_S = 10;
const WAVEFORM = 'vitalwire/v1/+/waveform/Pulse_Signal';
// A batch becomes one message for the chart of its device: the form that costs its page least.
const SPLIT = `
const id = msg.topic.split('/')[2];
const order = context.get('order') ?? [];
if (!order.includes(id)) { order.push(id); context.set('order', order); }
const { t0, interval_ms, values } = msg.payload;
const begin = Date.parse(t0);
const out = Array(COUNT).fill(null);
out[order.indexOf(id)] = { topic: id, payload: values.map((y, at) => ({ x: begin + at * interval_ms, y })) };
return out;`;

const chart = (at) => ({
  id: `chart-${at}`,
  type: 'ui-chart',
  z: 'tab',
  group: 'group',
  name: '',
  label: `Patient ${at + 1}`,
  order: at + 1,
  chartType: 'line',
  category: 'topic',
  categoryType: 'msg',
  xAxisLabel: '',
  xAxisProperty: 'x',
  xAxisPropertyType: 'property',
  xAxisType: 'time',
  xAxisFormat: '',
  xAxisFormatType: 'auto',
  yAxisLabel: '',
  yAxisProperty: 'y',
  yAxisPropertyType: 'property',
  bins: 10,
  action: 'append',
  stackSeries: false,
  pointShape: 'false',
  pointRadius: 0,
  showLegend: false,
  removeOlder: SHOWN_S,
  removeOlderUnit: '1',
  removeOlderPoints: '',
  colors: ['#0095FF'],
  interpolation: 'linear',
  width: 3,
  height: 4,
  className: '',
  x: 600,
  y: 40 * at,
  wires: [[]],
});

const flows = (count) => [
  { id: 'tab', type: 'tab', label: 'Charts' },
  { id: 'broker', type: 'mqtt-broker', name: '', broker: '127.0.0.1', port: '${BENCH_MQTT_PORT}', clientid: '', autoConnect: true, usetls: false, protocolVersion: '4', keepalive: '60', cleansession: true },
  { id: 'in', type: 'mqtt in', z: 'tab', topic: WAVEFORM, qos: '0', datatype: 'json', broker: 'broker', nl: false, rap: true, rh: 0, inputs: 0, x: 100, y: 100, wires: [['split']] },
  { id: 'split', type: 'function', z: 'tab', name: '', func: SPLIT.replace('COUNT', count), outputs: count, libs: [], x: 300, y: 100, wires: Array.from({ length: count }, (_, at) => [`chart-${at}`]) },
  ...Array.from({ length: count }, (_, at) => chart(at)),
  { id: 'base', type: 'ui-base', name: 'Charts', path: '/dashboard', includeClientData: true, acceptsClientConfig: [], showPathInSidebar: false, navigationStyle: 'none', titleBarStyle: 'hidden' },
  { id: 'theme', type: 'ui-theme', name: 'Charts', colors: { surface: '#ffffff', primary: '#0094ce', bgPage: '#eeeeee', groupBg: '#ffffff', groupOutline: '#cccccc' }, sizes: { density: 'compact', pagePadding: '8px', groupGap: '8px', groupBorderRadius: '4px', widgetGap: '8px' } },
  { id: 'page', type: 'ui-page', name: 'Charts', ui: 'base', path: '/charts', icon: 'home', layout: 'grid', theme: 'theme', order: 1, breakpoints: [{ name: 'Default', px: '0', cols: '12' }], className: '', visible: 'true', disabled: 'false' },
  { id: 'group', type: 'ui-group', name: 'Charts', page: 'page', width: '12', height: '1', order: 1, showTitle: false, className: '', visible: 'true', disabled: 'false', groupType: 'default' },
];

// As who wires it by hand has it: a chart a patient, ten seconds in each.
export const charts = async (ends, server, count) => {
  const home = folder(ends);
  const port = await freePort();
  mkdirSync(join(home, 'node-red'));
  const file = (name, text) => {
    writeFileSync(join(home, name), text, { mode: 0o600 });
    return join(home, name);
  };
  file('node-red/flows.json', JSON.stringify(flows(count)));
  file('node-red/flows_cred.json', JSON.stringify({ broker: { user: server.user, password: server.password } }));
  const settings = {
    uiHost: '127.0.0.1',
    uiPort: port,
    userDir: join(home, 'node-red'),
    flowFile: 'flows.json',
    credentialSecret: false,
    httpAdminRoot: false,
    telemetry: { enabled: false, updateNotification: false },
    logging: { console: { level: 'info' } },
  };
  const named = file('settings.js', `module.exports = ${JSON.stringify(settings)};\n`);
  const env = { PATH: process.env.PATH, HOME: home, BENCH_MQTT_PORT: String(server.mqttPort), NODE_PATH: join(ROOT, 'node_modules') };
  const running = startNodeRed(ends, env, ['--settings', named]);
  await running.said('Connected to broker');
  const url = `http://127.0.0.1:${port}`;
  const enter = async (page) => {
    await page.goto(`${url}/dashboard/charts`);
    await page.locator('canvas').nth(count - 1).waitFor({ state: 'attached', timeout: PATIENCE_MS });
  };
  return { url, enter, stop: () => running.stop() };
};
