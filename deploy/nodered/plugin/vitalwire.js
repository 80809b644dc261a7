'use strict';
// What settings.js cannot do, since only a plugin sees the runtime: gives the broker's node its account, which stands in files, and
// watches over WebSockets that do not pass through Express.

const BROKER_ID = 'vitalwire-broker';

module.exports = (RED) => {
  const { login, mqtt } = RED.settings.vitalwire;
  // Before each start of the flows, so that what a person deployed in the editor cannot lose it.
  RED.events.on('flows:starting', () => RED.nodes.addCredentials(BROKER_ID, { user: mqtt.user, password: mqtt.password }));
  RED.server.prependListener('upgrade', (request, stream) => login.holdUpgrade(request, stream));
  RED.plugins.registerPlugin('vitalwire', { type: 'vitalwire' });
};
