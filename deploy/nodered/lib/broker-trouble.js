'use strict';
// Why the broker cannot be reached, for a person: Node-RED's own log says only that it cannot.

const CERTIFICATE = ['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'];
// MQTT 3.1.1 §3.2.2.3: bad user name or password, not authorized.
const REFUSED = [4, 5];

const brokerTrouble = ({ code, message }, { host, port, caFile, user }) => {
  const at = `The broker at ${host}:${port}`;
  if (REFUSED.includes(code)) {
    return `${at} refuses ${user} or the password in NODERED_MQTT_PASSWORD_FILE. Set another: vitalwire user password ${user} --generate; then restart Node-RED`;
  }
  if (CERTIFICATE.includes(code)) return `${at} has a certificate that ${caFile} (NODERED_MQTT_CA_FILE) does not vouch for`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `${at} has a certificate without the name ${host}: set NODERED_MQTT_HOST to a name that it has, or make one with: vitalwire init --name ${host}`;
  }
  if (code === 'ECONNREFUSED') return `Nothing listens at ${host}:${port}: start the server, or correct NODERED_MQTT_HOST and NODERED_MQTT_PORT`;
  return `${at} cannot be reached: ${message}`;
};

module.exports = { brokerTrouble };
