// A control plane that asks for tokens: who has none sees the login, who may only read is told so.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { accessible, close, settled, shot, tab } from './lib/browser.mjs'

const base = process.env.LOCKED_URL
const api = process.env.LOCKED_ADMIN_URL
const boss = process.env.LOCKED_TOKEN
after(close)

async function ask(method, path, body) {
  const answer = await fetch(`${api}${path}`, {
    method, headers: { Authorization: `Bearer ${boss}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.json()
}

/** Pages, how they are known to be there, and what they offer to those who may write. */
const offered = (page, service) => [
  ['/services', page.locator('tr[data-testid="kept"]'), [
    page.getByTestId('toolbar-add-gateway-service'), page.getByTestId('action-entity-edit'), page.getByTestId('action-entity-delete'),
    page.locator('.sidebar-item-name, .sidebar-item').getByText('Admin Tokens'),
  ]],
  [`/services/${service}`, page.getByText('kept').first(), [page.getByTestId('header-edit-button')]],
  ['/history', page.getByTestId('history-table'), [page.locator('[data-testid^="revision-restore-"]')]],
  ['/import-export', page.getByTestId('export'), [page.getByTestId('import-preview')]],
]

test('login', { skip: !base && 'LOCKED_URL is not set: the Go test TestManager sets it' }, async () => {
  const kept = await ask('PUT', '/services/kept', { url: 'http://127.0.0.1:9' })
  await ask('PATCH', '/services/kept', { retries: 4 })
  const { token: reader } = await ask('POST', '/admin-tokens', { name: `reader-${Date.now()}`, role: 'read-only' })
  for (const theme of ['light', 'dark']) {
    const t = await tab({ base, api, theme })
    const login = async (token) => {
      await t.page.getByTestId('login-token').fill(token)
      await t.page.getByTestId('login-submit').click()
    }
    await t.page.goto(`${base}/services`)
    await t.page.getByTestId('login-form').waitFor()
    await accessible(t.page, `login by ${theme}`)
    await shot(t.page, `login-${theme}`)
    await login('not a token')
    await t.page.getByTestId('login-error').waitFor()

    await login(reader)
    await t.page.locator('tr[data-testid="kept"]').waitFor()
    await settled(t.page)
    // Reading is allowed, and nothing else is offered.
    for (const [path, at, offers] of offered(t.page, kept.id)) {
      await t.page.goto(base + path)
      await at.waitFor()
      await settled(t.page)
      for (const offer of offers) {
        assert.equal(await offer.count(), 0, `${path} offers ${offer}`)
      }
      await shot(t.page, `read-only${path.replace(/[/?=]+/g, '-')}-${theme}`)
    }
    // Who goes to a form all the same is refused, and the page says so.
    await t.page.goto(`${base}/services/create`)
    await t.page.getByTestId('gateway-service-url-input').fill('http://127.0.0.1:9/new')
    await t.page.getByTestId('service-create-form-submit').click()
    await t.page.getByText(/do not have permissions/).first().waitFor()
    await shot(t.page, `login-refused-${theme}`)

    await t.page.getByTestId('log-out').click()
    await t.page.getByTestId('login-form').waitFor()
    await login(boss)
    await t.page.getByTestId('log-out').waitFor()
    for (const [path, at, offers] of offered(t.page, kept.id)) {
      await t.page.goto(base + path)
      await at.waitFor()
      for (const offer of offers) {
        await offer.first().waitFor({ state: 'attached' })
      }
    }
    await t.page.goto(`${base}/admin-tokens`)
    await t.page.getByTestId('admin-tokens-table').getByText('reader-').first().waitFor()
    await t.check({ expect: [401, 403] })
    await t.close()
  }
})
