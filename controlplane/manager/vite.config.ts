import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import monaco from '@kong-ui-public/monaco-editor/vite-plugin'
import { defineConfig, type Plugin } from 'vite'

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

// The code editor: a trimmed one for everybody, and for the plugins' package one that is loaded when a form needs it.
const editor: Plugin = {
  name: 'sluice-editor',
  enforce: 'pre',
  resolveId(id, importer) {
    if (id !== 'monaco-editor' && id !== '@kong-ui-public/monaco-editor') {
      return undefined
    }
    if (importer?.includes('/entities-plugins/')) {
      return source('editor/lazy.ts')
    }
    return id === 'monaco-editor' ? source('editor/monaco.ts') : undefined
  },
}

// The editor of expressions has its parser in WebAssembly written out as text; as a file of its own it is a third
// smaller, and compiles while it arrives.
const wasm: Plugin = {
  name: 'sluice-wasm',
  apply: 'build',
  transform(code, id) {
    const text = id.includes('/expressions/') ? /"data:application\/wasm;base64,([A-Za-z0-9+/=]+)"/.exec(code) : null
    if (!text) {
      return undefined
    }
    const file = this.emitFile({ type: 'asset', name: 'expressions.wasm', source: Buffer.from(text[1]!, 'base64') })
    return { code: code.replace(text[0], `import.meta.ROLLUP_FILE_URL_${file}`), map: null }
  },
}

// Addresses are relative ("./assets/..."): the control plane puts admin_gui_path before those of index.html,
// and everything else is relative to the file that names it.
export default defineConfig({
  base: './',
  resolve: { alias: { '@': source('').replace(/\/$/, '') } },
  // Of the editor's own plugin only the trimmed colouring is left to do.
  plugins: [vue(), editor, wasm, monaco({ languages: [], shiki: { langs: ['json', 'yaml', 'lua'] } })],
  optimizeDeps: { exclude: ['monaco-editor'] },
  build: {
    target: 'es2022',
    sourcemap: false,
    chunkSizeWarningLimit: 4096,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
  },
  server: {
    // npm run dev beside make run.
    proxy: { '/kconfig.js': process.env.SLUICE_MANAGER ?? 'http://127.0.0.1:8002' },
  },
})
