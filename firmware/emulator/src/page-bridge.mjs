// Lets any browser of this machine open the device's configuration page: forwards HTTP to the modem's emulated port 80 and
// says the host that the device insists on. A phone in the device's own network needs no such thing.

import { createServer, request } from 'node:http';

const DEVICE_HOST = '192.168.4.1';

export class PageBridge {
  #server = createServer((asked, answer) => this.#forward(asked, answer));
  /** The port of this machine behind which the page is, or null while there is none. */
  page_port = null;

  /** Resolves with the port where it listens. */
  async listen(port) {
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
    return this.#server.address().port;
  }

  #forward(asked, answer) {
    const refuse = () => {
      if (!answer.headersSent) answer.writeHead(502, { 'content-type': 'text/plain' });
      answer.end('The emulated device serves no page now: it is in collector mode, off, or has just ended the connection.\n');
    };
    if (this.page_port === null) {
      refuse();
      return;
    }
    const headers = { host: DEVICE_HOST, connection: 'close' };
    for (const name of ['content-length', 'content-type', 'accept-encoding']) {
      if (asked.headers[name]) headers[name] = asked.headers[name];
    }
    const options = { host: '127.0.0.1', port: this.page_port, method: asked.method, path: asked.url, headers };
    const forwarded = request(options, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    forwarded.on('error', refuse);
    asked.pipe(forwarded);
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
