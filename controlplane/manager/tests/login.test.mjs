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

test('login', { skip: !base && 'LOCKED_URL is not set: the Go test TestManager sets it' }, async () => {
  await ask('PUT', '/services/kept', { url: 'http://127.0.0.1:9' })
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
    // Reading is allowed, writing is not, and the page says so.
    await t.page.goto(`${base}/services/create`)
    await t.page.getByTestId('gateway-service-url-input').fill('http://127.0.0.1:9/new')
    await t.page.getByTestId('service-create-form-submit').click()
    await t.page.getByText(/do not have permissions/).first().waitFor()
    await shot(t.page, `login-refused-${theme}`)

    await t.page.getByTestId('log-out').click()
    await t.page.getByTestId('login-form').waitFor()
    await login(boss)
    await t.page.getByTestId('log-out').waitFor()
    await t.page.goto(`${base}/admin-tokens`)
    await t.page.getByTestId('admin-tokens-table').getByText('reader-').first().waitFor()
    await t.check({ expect: [401, 403] })
    await t.close()
  }
})
