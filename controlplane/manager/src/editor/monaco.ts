// The code editor of plugin forms, with no more of it than a field needs: no other language services, no
// completion, no diff, no command palette. vite.config.ts puts this in the place of "monaco-editor".
import 'monaco-editor/esm/vs/editor/browser/coreCommands.js'
import 'monaco-editor/esm/vs/editor/browser/widget/codeEditor/codeEditorWidget.js'
import 'monaco-editor/esm/vs/editor/contrib/bracketMatching/browser/bracketMatching.js'
import 'monaco-editor/esm/vs/editor/contrib/caretOperations/browser/caretOperations.js'
import 'monaco-editor/esm/vs/editor/contrib/clipboard/browser/clipboard.js'
import 'monaco-editor/esm/vs/editor/contrib/comment/browser/comment.js'
import 'monaco-editor/esm/vs/editor/contrib/find/browser/findController.js'
import 'monaco-editor/esm/vs/editor/contrib/folding/browser/folding.js'
import 'monaco-editor/esm/vs/editor/contrib/indentation/browser/indentation.js'
import 'monaco-editor/esm/vs/editor/contrib/linesOperations/browser/linesOperations.js'
import 'monaco-editor/esm/vs/editor/contrib/placeholderText/browser/placeholderText.contribution.js'
import 'monaco-editor/esm/vs/editor/contrib/readOnlyMessage/browser/contribution.js'
import 'monaco-editor/esm/vs/editor/contrib/toggleTabFocusMode/browser/toggleTabFocusMode.js'
import 'monaco-editor/esm/vs/editor/contrib/tokenization/browser/tokenization.js'
import 'monaco-editor/esm/vs/editor/contrib/wordOperations/browser/wordOperations.js'
import { languages } from 'monaco-editor/esm/vs/editor/editor.api2.js'
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker'

// Colours come from Shiki; the editor itself needs brackets and comments. Its own languages would bring all
// features in.
const brackets: Array<[string, string]> = [['{', '}'], ['[', ']'], ['(', ')']]
for (const [id, lineComment] of [['lua', '--'], ['yaml', '#'], ['json', '']] as const) {
  languages.register({ id })
  languages.setLanguageConfiguration(id, { brackets, ...(lineComment ? { comments: { lineComment } } : {}) })
}

self.MonacoEnvironment = { getWorker: () => new EditorWorker() }

export * from 'monaco-editor/esm/vs/editor/editor.api2.js'
