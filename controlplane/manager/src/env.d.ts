/// <reference types="vite/client" />

interface Window {
  /** What kconfig.js of the control plane says; see controlplane/internal/manager. */
  K_CONFIG?: Record<string, string>
}

declare module 'monaco-editor/esm/vs/editor/editor.api2.js' {
  export * from 'monaco-editor'
}
