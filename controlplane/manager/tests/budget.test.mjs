// What the manager weighs: the first page at most 600 kB as it is sent, everything at most 8 MB as it is embedded.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

const dist = fileURLToPath(new URL('../../internal/manager/dist', import.meta.url))

async function sizes() {
  const all = new Map()
  for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name !== 'README.md') {
      const path = join(entry.parentPath, entry.name)
      all.set(relative(dist, path).replace(/\.gz$/, ''), { path, size: (await readFile(path)).length })
    }
  }
  return all
}

/** The text of a file; the smallest are not compressed. */
async function textOf({ path }) {
  const body = await readFile(path)
  return (path.endsWith('.gz') ? gunzipSync(body) : body).toString()
}

test('everything', async () => {
  const total = [...(await sizes()).values()].reduce((sum, f) => sum + f.size, 0)
  console.log(`everything: ${(total / 1e6).toFixed(2)} MB`)
  assert.ok(total < 8e6, `${total} bytes`)
})

test('first load', async () => {
  const files = await sizes()
  const text = (name) => textOf(files.get(name))
  const index = await text('index.html')
  const first = new Set([...index.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map((m) => m[1]).filter((name) => files.has(name)))
  // What scripts import outright comes with them, and so does the overview.
  for (const name of [...first, ...[...files.keys()].filter((f) => /^assets\/Overview-.*\.(js|css)$/.test(f))]) {
    first.add(name)
  }
  for (const name of first) {
    if (name.endsWith('.js')) {
      for (const [, file] of (await text(name)).matchAll(/(?:from|import)\s*["'`]\.\/([\w.-]+\.js)["'`]/g)) {
        first.add(`assets/${file}`)
      }
    }
  }
  const sum = [...first].reduce((bytes, name) => bytes + files.get(name).size, 0)
  console.log(`first load: ${(sum / 1e3).toFixed(0)} kB in ${first.size} files`)
  assert.ok(first.size > 4, 'the scripts were not found')
  assert.ok(sum < 600e3, `${sum} bytes`)
})

test('nothing of others is named', async () => {
  for (const [name, file] of await sizes()) {
    if (/\.(css|html)$/.test(name)) {
      const text = await textOf(file)
      assert.doesNotMatch(text, /url\(["']?https?:|@import|(?:src|href)="https?:/, name)
    }
  }
})

test('packages', async () => {
  const root = new URL('../', import.meta.url)
  const { dependencies, devDependencies } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'))
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is not of one version`)
  }
  // The lock names no address, so that it is the client's registry alone that packages come from.
  const { packages } = JSON.parse(await readFile(new URL('package-lock.json', root), 'utf8'))
  for (const [name, entry] of Object.entries(packages)) {
    assert.equal(entry.resolved, undefined, name)
    assert.ok(name === '' || /^sha512-/.test(entry.integrity ?? ''), `${name} has no checksum`)
  }
})
