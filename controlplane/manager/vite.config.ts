import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import monaco from '@kong-ui-public/monaco-editor/vite-plugin'
import { defineConfig } from 'vite'

// Addresses are relative ("./assets/..."): the control plane puts admin_gui_path before those of index.html,
// and everything else is relative to the file that names it.
export default defineConfig({
  base: './',
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  plugins: [
    vue(),
    // The editor in some plugin forms, with the languages that plugins have and the features that a field needs.
    monaco({
      languages: ['lua', 'yaml'],
      shiki: { langs: ['json', 'yaml', 'lua'] },
      features: [
        'bracketMatching', 'browser', 'caretOperations', 'clipboard', 'codelens', 'codicon', 'comment', 'contextmenu', 'cursorUndo', 'find',
        'folding', 'format', 'hover', 'indentation', 'lineSelection', 'linesOperations', 'links', 'multicursor', 'placeholderText',
        'readOnlyMessage', 'smartSelect', 'snippet', 'suggest', 'toggleTabFocusMode', 'tokenization', 'wordHighlighter', 'wordOperations',
      ],
    }),
  ],
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
