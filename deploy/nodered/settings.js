'use strict';
// Node-RED's settings: node-red --settings settings.js. What can be set from outside is in lib/configuration.js and README.md.

const fs = require('node:fs');
const path = require('node:path');
const { Attempts } = require('./lib/attempts');
const { ConfigurationError, configuration } = require('./lib/configuration');
const { Devices } = require('./lib/devices');
const { FLOWS, installFlows } = require('./lib/flow-file');
const { Login } = require('./lib/login');
const { Sessions } = require('./lib/sessions');
const { Users } = require('./lib/users');
const { flows } = require('./flows/flows');

const SWEEP_MS = 1_000;

const log = (text) => console.log(`[vitalwire] ${text}`);

// Node-RED would print a stack; a person needs the one sentence.
const stop = (error) => {
  console.error(`Node-RED does not start. ${error.message}`);
  process.exit(1);
};

const load = () => {
  const configured = configuration(process.env);
  const users = new Users(configured.usersFile, log);
  if (users.size === 0) {
    throw new ConfigurationError(
      `NODERED_USERS_FILE: ${configured.usersFile} holds no user, and there is no default password. Make one: npm run user -- add NAME --role viewer`,
    );
  }
  const page = fs.readFileSync(path.join(__dirname, 'flows/page.vue'), 'utf8');
  const installed = installFlows(configured.folder, `${JSON.stringify(flows({ page }), null, 4)}\n`);
  if (installed === 'kept') {
    log(`${path.join(configured.folder, FLOWS)} was changed in the editor and stays as it is; remove it to get the flows of this version`);
  }
  // The flows name these, so that a new address needs no change in flows that a person edited.
  process.env.NODERED_MQTT_HOST = configured.mqtt.host;
  process.env.NODERED_MQTT_PORT = String(configured.mqtt.port);
  process.env.NODERED_MQTT_CA_FILE = configured.mqtt.caFile;
  return { ...configured, users };
};

const configured = (() => {
  try {
    return load();
  } catch (error) {
    return stop(error);
  }
})();

const sessions = new Sessions({ key: configured.sessionKey, users: configured.users, lifetime_ms: configured.session_ms });
const login = new Login({ users: configured.users, sessions, attempts: new Attempts(), secure: configured.https !== undefined, log });
setInterval(() => sessions.sweep(Date.now()), SWEEP_MS).unref();

module.exports = {
  uiHost: configured.host,
  uiPort: configured.port,
  https: configured.https,
  userDir: configured.folder,
  flowFile: FLOWS,
  flowFilePretty: true,
  credentialSecret: configured.credentialSecret,
  nodesDir: [path.join(__dirname, 'plugin')],
  // Editors write functions; they need no shell.
  nodesExcludes: ['90-exec.js'],

  // The editor's root is that of the server, so that every request passes this gate first.
  httpAdminRoot: '/',
  httpNodeRoot: '/',
  httpAdminMiddleware: login.gate,
  adminAuth: { tokens: (header) => login.editor(header), tokenHeader: 'cookie' },
  // The dashboard puts socket.io on the bare server; without `ioMiddleware` it would serve everyone.
  dashboard: { middleware: login.gate, ioMiddleware: login.socketGate, maxHttpBufferSize: 65_536 },

  // For plugin/vitalwire.js. An object of functions and secrets: Node-RED does not send it to the editor.
  vitalwire: { login, mqtt: configured.mqtt },
  // For the function nodes: global.get('devices').
  functionGlobalContext: { devices: new Devices({ silent_after_ms: configured.silent_after_ms }) },
  functionExternalModules: false,
  exportGlobalContextKeys: false,
  mqttReconnectTime: 2_000,

  // Nothing is installed from the editor, and nothing is told to anyone.
  externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpdate: false, allowUpload: false }, modules: { allowInstall: false } },
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: false, ui: false },
  runtimeState: { enabled: false, ui: false },
  editorTheme: { page: { title: 'Vitalwire' }, header: { title: 'Vitalwire' }, tours: false, userMenu: false, projects: { enabled: false } },
  logging: { console: { level: 'info', metrics: false, audit: false } },
};
