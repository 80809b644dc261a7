'use strict';
// The flows, as Node-RED's editor shows them: MQTT in on the left, the page on the right. What a device is, and what of it the page
// shows, is in lib/devices.js; how it looks, in page.vue.

const BROKER = 'vitalwire-broker';
const TAB = 'vitalwire';
const PAGE = 'vitalwire-page';
const TICK_S = 0.25;

// Wildcards: a new device needs no new node, and a client may have no more than 64 subscriptions.
const SUBSCRIPTIONS = [
  ['status', 'vitalwire/v1/+/status'],
  ['readings', 'vitalwire/v1/+/reading'],
  ['waveforms', 'vitalwire/v1/+/waveform/#'],
  ['device address', 'Pico/+/Ip_address'],
  ['device port', 'Pico/+/Port_address'],
  ['server address and port', 'Pico/+/Internal_Server/+'],
];

const subscription = ([name, topic], index) => ({
  id: `vitalwire-in-${index + 1}`,
  type: 'mqtt in',
  z: TAB,
  name,
  topic,
  // Nothing that the broker accepted is skipped; what comes late is shown with its age.
  qos: '1',
  // As text: the digits of a number stay as they were sent.
  datatype: 'utf8',
  broker: BROKER,
  nl: false,
  rap: true,
  rh: 0,
  inputs: 0,
  x: 150,
  y: 80 + 60 * index,
  wires: [['vitalwire-take']],
});

const functionNode = ({ id, name, func, x, y, wires }) => ({
  id,
  type: 'function',
  z: TAB,
  name,
  func,
  outputs: wires.length,
  timeout: 0,
  noerr: 0,
  initialize: '',
  finalize: '',
  libs: [],
  x,
  y,
  wires,
});

const connection = [
  {
    id: BROKER,
    type: 'mqtt-broker',
    name: 'Vitalwire',
    broker: '${NODERED_MQTT_HOST}',
    port: '${NODERED_MQTT_PORT}',
    clientid: '',
    autoConnect: true,
    usetls: true,
    tls: 'vitalwire-tls',
    protocolVersion: '4',
    // A broker whose machine vanished is noticed after one and a half of these.
    keepalive: '10',
    cleansession: true,
  },
  { id: 'vitalwire-tls', type: 'tls-config', name: 'Vitalwire', cert: '', key: '', ca: '${NODERED_MQTT_CA_FILE}', verifyservercert: true, servername: '' },
];

const intake = [
  ...SUBSCRIPTIONS.map(subscription),
  functionNode({
    id: 'vitalwire-take',
    name: 'note',
    func: "global.get('devices').take(msg.topic, msg.payload, Date.now());",
    x: 430,
    y: 230,
    wires: [[]],
  }),
  { id: 'vitalwire-status', type: 'status', z: TAB, name: 'connection', scope: ['vitalwire-in-1'], x: 150, y: 460, wires: [['vitalwire-connection']] },
  functionNode({
    id: 'vitalwire-connection',
    name: 'connected?',
    func: "global.get('devices').connection(msg.status.fill === 'green', Date.now());",
    x: 430,
    y: 460,
    wires: [[]],
  }),
];

const output = [
  {
    id: 'vitalwire-tick',
    type: 'inject',
    z: TAB,
    name: 'four times a second',
    props: [],
    repeat: String(TICK_S),
    crontab: '',
    once: true,
    onceDelay: TICK_S,
    topic: '',
    x: 180,
    y: 560,
    wires: [['vitalwire-changes']],
  },
  functionNode({
    id: 'vitalwire-changes',
    name: 'what changed',
    func: "msg.payload = global.get('devices').changes(Date.now());\nreturn msg;",
    x: 430,
    y: 560,
    wires: [['vitalwire-template']],
  }),
  functionNode({
    id: 'vitalwire-answer',
    name: 'all, for a page that was opened',
    // Only the browser that asked gets it: `_client` says which.
    func: "if (msg.topic !== 'hello') return null;\nreturn { _client: msg._client, payload: global.get('devices').all(Date.now()) };",
    x: 480,
    y: 620,
    wires: [['vitalwire-template']],
  }),
];

const dashboard = (page) => [
  {
    id: 'vitalwire-base',
    type: 'ui-base',
    name: 'Vitalwire',
    path: '/dashboard',
    appIcon: '',
    includeClientData: true,
    // With ui-template here, what is meant for one browser goes to it alone, and no browser can change the page of another.
    acceptsClientConfig: ['ui-notification', 'ui-control', 'ui-template'],
    showPathInSidebar: false,
    headerContent: 'none',
    navigationStyle: 'none',
    titleBarStyle: 'hidden',
    // The page says by itself when it gets nothing.
    showReconnectNotification: false,
    showDisconnectNotification: false,
    notificationDisplayTime: 5,
    allowInstall: false,
  },
  {
    id: 'vitalwire-theme',
    type: 'ui-theme',
    name: 'Vitalwire',
    colors: { surface: '#005a9c', primary: '#005a9c', bgPage: '#eef1f4', groupBg: '#eef1f4', groupOutline: '#eef1f4' },
    sizes: { density: 'compact', pagePadding: '0px', groupGap: '0px', groupBorderRadius: '0px', widgetGap: '0px' },
  },
  {
    id: PAGE,
    type: 'ui-page',
    name: 'Devices',
    ui: 'vitalwire-base',
    path: '/devices',
    icon: 'heart-pulse',
    layout: 'grid',
    theme: 'vitalwire-theme',
    breakpoints: [{ name: 'Default', px: '0', cols: '12' }],
    order: 1,
    className: '',
    visible: 'true',
    disabled: 'false',
  },
  {
    id: 'vitalwire-group',
    type: 'ui-group',
    name: 'Devices',
    page: PAGE,
    width: '12',
    height: '1',
    order: 1,
    showTitle: false,
    className: '',
    visible: 'true',
    disabled: 'false',
    groupType: 'default',
  },
  {
    id: 'vitalwire-template',
    type: 'ui-template',
    z: TAB,
    group: 'vitalwire-group',
    page: '',
    ui: '',
    name: 'page.vue',
    order: 1,
    width: '12',
    // As high as it is.
    height: '0',
    head: '',
    format: page,
    storeOutMessages: false,
    // What comes in does not go out again: only what browsers send does.
    passthru: false,
    resendOnRefresh: false,
    templateScope: 'local',
    className: '',
    x: 760,
    y: 560,
    wires: [['vitalwire-answer']],
  },
];

const INFO = 'From MQTT to the page, for every device that appears. Start with README.md beside settings.js.';

const flows = ({ page }) => [
  { id: TAB, type: 'tab', label: 'Vitalwire', disabled: false, info: INFO },
  ...connection,
  ...intake,
  ...output,
  ...dashboard(page),
];

module.exports = { SUBSCRIPTIONS, flows };
