// The manager below a path, of a control plane whose routes are expressions.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { accessible, admin, close, shot, tab } from './lib/browser.mjs'

const base = process.env.PREFIXED_URL
const api = process.env.PREFIXED_ADMIN_URL
after(close)

test('below a path', { skip: !base && 'PREFIXED_URL is not set: the Go test TestManager sets it' }, async () => {
  await admin('PUT', '/services/far', { url: 'http://127.0.0.1:9' }, api)
  await admin('PUT', '/services/far/routes/word', { expression: 'http.path == "/word"' }, api)
  const t = await tab({ base, api })
  await t.open('/services')
  await t.page.locator('tr[data-testid="far"]').waitFor()
  await t.page.locator('[data-testid^="sidebar-item"]:has-text("Routes")').first().click()
  await t.page.waitForURL(`${base}/routes`)
  await t.page.locator('tr[data-testid="word"]').waitFor()
  // A page loads by its own address, and so do its scripts.
  const { id } = await admin('GET', '/routes/word', undefined, api)
  await t.open(`/routes/${id}/edit`)
  await t.page.locator('.monaco-editor').first().waitFor()
  await shot(t.page, 'prefix-expression')
  await accessible(t.page, 'overview')
  assert.equal(new URL(t.page.url()).pathname, `/ui/routes/${id}/edit`)
  await t.check()
})
