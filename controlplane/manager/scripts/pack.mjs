// Copies what vite built into the folder that the control plane embeds: text compressed, the rest as it is. It
// refuses more than the budgets allow, which tests/budget.test.mjs explains.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { constants, gzipSync } from 'node:zlib'

const [from, to] = process.argv.slice(2)
if (!from || !to) {
  throw new Error('usage: pack.mjs FROM TO')
}

const kept = 'README.md'
for (const entry of await readdir(to)) {
  if (entry !== kept) {
    await rm(join(to, entry), { recursive: true })
  }
}

let plain = 0
let packed = 0
for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) {
    continue
  }
  const source = join(entry.parentPath, entry.name)
  const name = relative(from, source)
  const body = await readFile(source)
  // No time and no system in the header: equal sources make equal programs.
  const small = /\.(js|mjs|css|html|svg|json|txt|ttf|wasm)$/.test(name) ? gzipSync(body, { level: constants.Z_BEST_COMPRESSION }) : body
  const gain = small.length < body.length
  const target = join(to, gain ? `${name}.gz` : name)
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, gain ? small : body)
  plain += body.length
  packed += gain ? small.length : body.length
}
console.log(`manager: ${(plain / 1e6).toFixed(1)} MB, ${(packed / 1e6).toFixed(1)} MB compressed`)
