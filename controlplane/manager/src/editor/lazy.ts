// The code editor for the plugins' package, which imports it outright: its lists and cards would load some
// megabytes that only its forms use. vite.config.ts puts this in the place of the editor there. The bindings have
// no value until loadEditor is done, which whoever shows a form waits for.
import type * as Monaco from 'monaco-editor'
import type * as Editor from '@kong-ui-public/monaco-editor'

export let editor: typeof Monaco.editor
export let languages: typeof Monaco.languages
export let Emitter: typeof Monaco.Emitter
export let MarkerSeverity: typeof Monaco.MarkerSeverity
export let MonacoEditor: typeof Editor.MonacoEditor
export let collectCodeLensProviders: typeof Editor.collectCodeLensProviders
export let emptyCodeLensList: typeof Editor.emptyCodeLensList

export async function loadEditor(): Promise<void> {
  const [monaco, component] = await Promise.all([import('monaco-editor'), import('@kong-ui-public/monaco-editor')])
  ;({ editor, languages, Emitter, MarkerSeverity } = monaco)
  ;({ MonacoEditor, collectCodeLensProviders, emptyCodeLensList } = component)
}
