'use strict';
// The gate before everything that Node-RED serves. Without a session there is the login page and nothing else: no page, no editor,
// no admin API, no socket.io. Viewers get below /dashboard, editors get everything.

const { FREE_FAILURES } = require('./attempts');
const { COOKIE } = require('./sessions');
const { NAME } = require('./users');
const { loginPage } = require('./login-page');

const DASHBOARD = '/dashboard';
const FORM_BYTES_MAX = 4_096;
const FORM_MS_MAX = 10_000;
// Passwords that are checked at the same moment: each takes 32 MiB and a thread. More are asked to try again.
const CHECKS_MAX = 4;

const HEADERS = { 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'same-origin', 'X-Frame-Options': 'SAMEORIGIN' };
// The dashboard compiles its pages in the browser, so 'unsafe-eval' is needed; but it loads from here and tells no one else anything.
const DASHBOARD_POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
  "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

const isDashboard = (path) => path === DASHBOARD || path.startsWith(`${DASHBOARD}/`);

// A request that a page of another site made: its `Origin` is not where it goes to. Programs send none.
const isForeign = ({ headers }) => {
  if (headers.origin === undefined) return false;
  try {
    return new URL(headers.origin).host !== headers.host;
  } catch {
    return true;
  }
};

// A form's fields, or nothing when it is too long, too slow or cut off.
const readForm = (request) =>
  new Promise((resolve) => {
    const chunks = [];
    let bytes = 0;
    const end = (form) => {
      clearTimeout(timer);
      resolve(form);
    };
    const timer = setTimeout(end, FORM_MS_MAX);
    request.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes <= FORM_BYTES_MAX) chunks.push(chunk);
    });
    request.on('end', () => end(bytes <= FORM_BYTES_MAX ? new URLSearchParams(Buffer.concat(chunks).toString()) : undefined));
    request.on('close', () => end(undefined));
  });

class Login {
  #users;
  #sessions;
  #attempts;
  #secure;
  #log;
  #checks = 0;
  // Sockets that came while the flows do not run, as functions that let them in; nothing while the flows run.
  #waiting = [];

  // `secure`: the pages come by HTTPS, and so the cookie only travels there. `log` is told who logged in and who was refused.
  constructor({ users, sessions, attempts, secure, log }) {
    Object.assign(this, { gate: this.gate.bind(this), socketGate: this.socketGate.bind(this) });
    this.#users = users;
    this.#sessions = sessions;
    this.#attempts = attempts;
    this.#secure = secure;
    this.#log = log;
  }

  // Express middleware before every route.
  gate(request, response, next) {
    response.set(HEADERS);
    // The dashboard calls this once more, mounted below its path.
    const path = request.baseUrl + request.path;
    if (request.method !== 'GET' && request.method !== 'HEAD' && isForeign(request)) {
      return response.status(403).type('text').send('This request came from a page of another site.\n');
    }
    if (path === '/login') return this.#login(request, response);
    const session = this.#sessions.find(request.headers.cookie, Date.now());
    if (!session) return refuse(request, response);
    if (path === '/logout') return this.#logout(request, response, session);
    if (isDashboard(path)) {
      response.set('Content-Security-Policy', DASHBOARD_POLICY);
      return next();
    }
    if (session.role === 'editor') return next();
    if (path === '/') return response.redirect(303, DASHBOARD);
    return response.status(403).type('text').send('Only users of the role editor get here.\n');
  }

  // Middleware of the dashboard's socket.io server, which does not pass through Express.
  socketGate(socket, next) {
    const session = isForeign(socket.request) ? undefined : this.#sessions.find(socket.handshake.headers.cookie, Date.now());
    if (!session) {
      next(Error('not logged in'));
      // After the refusal is on its way: a connection that no one may use is not kept until its time-out.
      setImmediate(() => socket.conn.close());
      return;
    }
    const release = this.#sessions.hold(session, () => socket.disconnect(true));
    socket.on('disconnect', release);
    // While a deployment restarts the flows, the dashboard takes no note of a socket: its page would stay empty for ever.
    if (this.#waiting) this.#waiting.push(next);
    else next();
  }

  // Whether the flows run: sockets wait for them.
  flowsRun(areRunning) {
    const waiting = this.#waiting ?? [];
    this.#waiting = areRunning ? undefined : waiting;
    if (areRunning) for (const next of waiting) next();
  }

  // For Node-RED's `adminAuth.tokens`: the editor's user of a `Cookie` header. Node-RED asks for each request of the admin API and for
  // the editor's WebSocket.
  async editor(header) {
    const session = this.#sessions.find(header, Date.now());
    return session?.role === 'editor' ? { username: session.name, permissions: '*' } : null;
  }

  // Ends the editor's WebSocket with its session. Node-RED opens it for everyone and waits for a token in it; here
  // a browser without a session of an editor gets none.
  holdUpgrade(request, stream) {
    if (request.url.startsWith(`${DASHBOARD}/socket.io/`)) return;
    const session = isForeign(request) ? undefined : this.#sessions.find(request.headers.cookie, Date.now());
    if (session?.role !== 'editor') {
      stream.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n', () => stream.destroy());
      return;
    }
    stream.on('close', this.#sessions.hold(session, () => stream.destroy()));
  }

  async #login(request, response) {
    response.set({ 'Cache-Control': 'no-store', 'Content-Security-Policy': loginPage.policy });
    const show = (status, message, name) => response.status(status).type('html').send(loginPage({ message, name }));
    if (request.method === 'GET' || request.method === 'HEAD') return show(200);
    if (request.method !== 'POST') return show(405, 'This address takes GET and POST.');
    const form = await readForm(request);
    if (!form) return show(400, 'That was no login form.');
    const [name, password] = [form.get('name') ?? '', form.get('password') ?? ''];
    const address = request.socket.remoteAddress ?? '';
    const wait_ms = this.#attempts.wait_ms(name, address, Date.now());
    if (wait_ms > 0) {
      const seconds = Math.ceil(wait_ms / 1_000);
      response.set('Retry-After', String(seconds));
      return show(429, `${FREE_FAILURES} passwords or more were wrong. Wait ${seconds} seconds, then try again.`, name);
    }
    if (this.#checks >= CHECKS_MAX) return show(503, 'Many people log in at this moment. Try again.', name);
    this.#checks += 1;
    // Counted before the answer is known: tries at the same moment count, too.
    this.#attempts.failed(name, address, Date.now());
    const user = await this.#users.login(name, password).finally(() => (this.#checks -= 1));
    if (!user) {
      this.#log(`Refused login of ${NAME.test(name) ? name : 'a name that no user can have'} from ${address}`);
      return show(401, 'Wrong name or password.', name);
    }
    this.#attempts.succeeded(name, address);
    this.#log(`${user.name} (${user.role}) logged in from ${address}`);
    const seconds = Math.floor(this.#sessions.lifetime_ms / 1_000);
    response.set('Set-Cookie', this.#cookie(this.#sessions.open(user, Date.now()), seconds));
    return response.redirect(303, DASHBOARD);
  }

  #logout(request, response, session) {
    if (request.method !== 'POST') return response.status(405).type('text').send('Log out with POST.\n');
    this.#sessions.close(session);
    this.#sessions.sweep(Date.now());
    this.#log(`${session.name} logged out`);
    response.set('Set-Cookie', this.#cookie('', 0));
    return response.redirect(303, '/login');
  }

  #cookie(value, seconds) {
    return `${COOKIE}=${value}; Max-Age=${seconds}; Path=/; HttpOnly; SameSite=Strict${this.#secure ? '; Secure' : ''}`;
  }
}

// A person is sent to the login page; a program gets a status.
const refuse = (request, response) => {
  if (request.method === 'GET' && (request.headers.accept ?? '').includes('text/html')) return response.redirect(303, '/login');
  return response.status(401).type('text').send('Log in first, at /login.\n');
};

module.exports = { CHECKS_MAX, DASHBOARD, Login };
