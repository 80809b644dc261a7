import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The server allows no `data:` address, so that nothing may be inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `VITALWIRE_SERVER=http://127.0.0.1:8080 npx vite` serves the sources before a server that runs.
  server: {
    proxy: { '/api': { target: process.env.VITALWIRE_SERVER ?? 'http://127.0.0.1:8080', ws: true } },
  },
});
