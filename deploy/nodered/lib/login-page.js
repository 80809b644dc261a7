'use strict';
// The login page: plain HTML, no script.

const { createHash } = require('node:crypto');

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { display: grid; min-height: 100vh; margin: 0; place-items: center; background: Canvas; color: CanvasText; }
main { box-sizing: border-box; width: min(24rem, 100vw); padding: 1.5rem; }
h1 { font-size: 1.5rem; }
label { display: block; margin-top: 1rem; }
input, button { box-sizing: border-box; width: 100%; min-height: 2.75rem; padding: 0 .75rem; font: inherit; }
button { margin-top: 1.5rem; border: 0; border-radius: .25rem; background: #005a9c; color: #fff; cursor: pointer; }
:focus-visible { outline: 3px solid #e08a00; outline-offset: 2px; }
[role=alert] { padding: .5rem .75rem; border-left: 4px solid #c00; }
`;

const escape = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const loginPage = ({ message = '', name = '' }) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in – Vitalwire</title>
<style>${STYLE}</style>
<main>
<h1>Vitalwire</h1>
${message && `<p role="alert" id="message">${escape(message)}</p>`}
<form method="post" action="/login">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="username" autocapitalize="none" maxlength="64" required value="${escape(name.slice(0, 64))}"${name && ' aria-describedby="message"'}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" required>
<button>Log in</button>
</form>
</main>
</html>
`;

loginPage.policy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`;

module.exports = { loginPage };
