// The emulated ESP8266 answers as Espressif's AT firmware does, and misbehaves as told.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';

import { parseCommand } from '../src/esp8266/parameters.mjs';
import { SECOND } from '../src/world-clock.mjs';
import { readyModem, serialHost } from './support/serial-host.mjs';

async function withServer(context) {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return { server, port: server.address().port };
}

async function modem(context, options) {
  const host = await readyModem(options);
  context.after(() => host.close());
  return host;
}

test('a command is taken apart with quotes and escapes', () => {
  assert.deepEqual(parseCommand('AT+CWJAP_CUR="a\\,b\\"c","d,e"').values, ['a,b"c', 'd,e']);
  assert.equal(parseCommand('AT+CWMODE_DEF=1').suffix, '_DEF');
  assert.equal(parseCommand('ATE0').name, 'E0');
  assert.equal(parseCommand('AT').name, '');
  assert.equal(parseCommand('AT+CWMODE?').kind, 'query');
  assert.equal(parseCommand('AT+CWJAP="open'), null);
  assert.equal(parseCommand('hello'), null);
});

test('it starts with noise at another speed, then says that it is ready, and echoes', async () => {
  const host = serialHost();
  const said = await host.until('ready\r\n');
  assert.ok(said.startsWith('????'));
  assert.equal(await host.command('AT'), 'AT\r\n\r\nOK\r\n');
  host.close();
});

test('joining takes the right name and password, and says why not', async (context) => {
  const host = await modem(context, { isJoined: false });
  assert.match(await host.command('AT+CWJAP_CUR="nowhere","x"', 'FAIL\r\n'), /\+CWJAP:3\r\n/);
  assert.match(await host.command('AT+CWJAP_CUR="ward","wrong one"', 'FAIL\r\n'), /\+CWJAP:2\r\n/);
  assert.match(await host.command('AT+CIPSTART=0,"TCP","127.0.0.1",9", 1', 'ERROR\r\n'), /ERROR/);
  assert.match(await host.command('AT+CIPSTART=0,"TCP","127.0.0.1",9', 'ERROR\r\n'), /no ip\r\n/);
  assert.match(await host.command('AT+CWJAP_CUR="ward","a long password"'), /WIFI CONNECTED\r\nWIFI GOT IP\r\n/);
  assert.match(await host.command('AT+CIFSR'), /\+CIFSR:STAIP,"192\.168\.7\.20"/);
});

test('a scan lists networks with names of any bytes', async (context) => {
  const name = Buffer.from([0xff, 0x22, 0x2c, 0x41]);
  const networks = [{ name }, { name: 'ward', password: 'a long password', rssi_dbm: -71 }];
  const host = await modem(context, { networks, isJoined: false });
  const said = await host.command('AT+CWLAP');
  assert.ok(said.includes(`+CWLAP:(0,"${name.toString('latin1')}",-55,`));
  assert.ok(said.includes('+CWLAP:(3,"ward",-71,'));
});

test('a second command before the answer is busy', async (context) => {
  const host = await modem(context, { isJoined: false });
  host.write('AT+CWLAP\r\nAT\r\n');
  assert.match(await host.until('\r\nOK\r\n'), /^busy p\.\.\.\r\n/);
});

test('data goes to a real socket and comes back announced', async (context) => {
  const { server, port } = await withServer(context);
  const host = await modem(context);
  server.on('connection', (socket) => socket.on('data', (bytes) => socket.write(`got ${bytes}`)));
  assert.match(await host.command(`AT+CIPSTART=2,"TCP","127.0.0.1",${port}`), /2,CONNECT\r\n/);
  assert.match(await host.command(`AT+CIPSTART=2,"TCP","127.0.0.1",${port}`, 'ERROR\r\n'), /ALREADY CONNECTED/);
  await host.command('AT+CIPSEND=2,5', '> ');
  host.write('AT\r\nx');
  const said = await host.until('got AT\r\nx');
  assert.match(said, /Recv 5 bytes\r\n/);
  assert.match(said, /\r\n\+IPD,2,9:got AT\r\nx$/);
  if (!said.includes('SEND OK')) await host.until('SEND OK\r\n');
  await host.command('AT+CIPCLOSE=2');
  assert.match(await host.command('AT+CIPSEND=2,5', 'ERROR\r\n'), /link is not valid/);
});

test('2,048 bytes are the most of one send', async (context) => {
  const { port } = await withServer(context);
  const host = await modem(context);
  await host.command(`AT+CIPSTART=0,"TCP","127.0.0.1",${port}`);
  assert.match(await host.command('AT+CIPSEND=0,2049', 'ERROR\r\n'), /too long/);
  await host.command('AT+CIPSEND=0,2048', '> ');
  host.write('x'.repeat(2_048));
  await host.until('SEND OK\r\n');
});

test('a port where no one listens is an error', async (context) => {
  const { server, port } = await withServer(context);
  server.close();
  const host = await modem(context);
  await host.command(`AT+CIPSTART=0,"TCP","127.0.0.1",${port}`, '\r\nERROR\r\n');
});

test('the peer closing is said with the link', async (context) => {
  const { server, port } = await withServer(context);
  const host = await modem(context);
  server.on('connection', (socket) => socket.end('bye'));
  await host.command(`AT+CIPSTART=4,"TCP","127.0.0.1",${port}`);
  assert.match(await host.until('4,CLOSED\r\n'), /\+IPD,4,3:bye/);
});

test('its server takes one phone and refuses a second one', async (context) => {
  const host = await modem(context, { mode: 3 });
  await host.command('AT+CWSAP_CUR="Med_IoT","",6,0,1');
  let port;
  host.modem.on('listening', (_port, host_port) => (port = host_port));
  await host.command('AT+CIPSERVER=1,80');
  const first = net.connect({ port, host: '127.0.0.1' });
  assert.match(await host.until('0,CONNECT\r\n'), /\+STA_CONNECTED/);
  const second = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  second.on('error', () => undefined);
  await once(second, 'close');
  assert.equal(host.modem.stations.count, 1);
  first.write('GET / HTTP/1.1\r\n\r\n');
  await host.until('+IPD,0,18:GET / HTTP/1.1\r\n\r\n');
  first.destroy();
  await host.until('0,CLOSED\r\n');
  host.modem.stations.leave('127.0.0.1');
  const third = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  await host.until('0,CONNECT\r\n');
  third.destroy();
});

test('datagrams are answered to who asked', async (context) => {
  const host = await modem(context, { mode: 2 });
  let port;
  host.modem.on('listening', (_port, host_port) => (port = host_port));
  await host.command('AT+CIPSTART=4,"UDP","0.0.0.0",53,53,2');
  const phone = dgram.createSocket('udp4');
  context.after(() => phone.close());
  const answer = once(phone, 'message');
  phone.send('who?', port, '127.0.0.1');
  await host.until('+IPD,4,4:who?');
  await host.command('AT+CIPSEND=4,3', '> ');
  host.write('me!');
  await host.until('SEND OK\r\n');
  assert.equal(String((await answer)[0]), 'me!');
});

test('without Wi-Fi connections end here while the peer hears nothing, and the modem joins again by itself', async (context) => {
  const { server, port } = await withServer(context);
  const host = await modem(context);
  const connected = once(server, 'connection');
  await host.command(`AT+CIPSTART=0,"TCP","127.0.0.1",${port}`);
  const [peer] = await connected;
  let hasEnded = false;
  peer.on('error', () => undefined).on('close', () => (hasEnded = true));
  host.air.switchWifi(false);
  assert.match(await host.until('WIFI DISCONNECT\r\n'), /0,CLOSED\r\n/);
  assert.match(await host.command('AT+CIPSTART=0,"TCP","127.0.0.1",1', 'ERROR\r\n'), /no ip/);
  assert.equal(hasEnded, false);
  host.air.switchWifi(true);
  await host.until('WIFI GOT IP\r\n');
  if (!hasEnded) await once(peer, 'close');
});

test('faults: busy, failing sends, a closed link, silence, a restart', async (context) => {
  const { port } = await withServer(context);
  const host = await modem(context);
  await host.command(`AT+CIPSTART=0,"TCP","127.0.0.1",${port}`);
  host.modem.busyFor(SECOND);
  await host.command('AT', 'busy p...\r\n');
  host.pass(SECOND);
  host.modem.failSends(1);
  await host.command('AT+CIPSEND=0,1', '> ');
  host.write('x');
  await host.until('SEND FAIL\r\n');
  host.modem.closeLink(0);
  await host.until('0,CLOSED\r\n');
  host.modem.silenceFor(SECOND);
  host.write('AT\r\n');
  host.pass(SECOND);
  assert.equal(host.heard, '');
  await host.command('AT');
  host.modem.restart();
  await host.until('ready\r\n');
  assert.match(await host.command('AT+CIPMUX?', 'OK\r\n'), /\+CIPMUX:0/);
});

test('a mode saved without _CUR and its network outlive a restart', async (context) => {
  const host = await modem(context, { isJoined: false });
  await host.command('AT+CWMODE=1');
  await host.command('AT+CWJAP="ward","a long password"');
  host.modem.restart();
  await host.until('WIFI GOT IP\r\n');
});
