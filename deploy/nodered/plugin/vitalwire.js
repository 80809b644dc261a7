'use strict';
// What settings.js cannot do, since only a plugin sees the runtime: gives the broker's node its account, which stands in files, says
// why the broker cannot be reached, and watches over WebSockets that do not pass through Express.

const { brokerTrouble } = require('../lib/broker-trouble');

const BROKER_ID = 'vitalwire-broker';

module.exports = (RED) => {
  const { login, mqtt } = RED.settings.vitalwire;

  // Each reason once, until the connection was there: it is tried again every two seconds.
  const explain = () => {
    const client = RED.nodes.getNode(BROKER_ID)?.client;
    let said = '';
    client?.on('connect', () => (said = ''));
    client?.on('error', (error) => {
      const text = brokerTrouble(error, mqtt);
      if (text !== said) RED.log.error(`[vitalwire] ${text}`);
      said = text;
    });
  };

  // Before each start of the flows, so that what a person deployed in the editor cannot lose it.
  RED.events.on('flows:starting', () => RED.nodes.addCredentials(BROKER_ID, { user: mqtt.user, password: mqtt.password }));
  RED.events.on('flows:started', explain);
  RED.events.on('flows:stopping', () => login.flowsRun(false));
  RED.events.on('flows:started', () => login.flowsRun(true));
  RED.server.prependListener('upgrade', (request, stream) => login.holdUpgrade(request, stream));
  RED.plugins.registerPlugin('vitalwire', { type: 'vitalwire' });
};
