// What goes wrong is said where a person looks: at the field, and in the form.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { admin, close, settled, shot, tab } from './lib/browser.mjs'

const workspace = 'walk-errors'

describe('errors', () => {
  let t
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    await admin('PUT', `/${workspace}/consumers/taken`, {})
    t = await tab({ workspace })
  })
  after(close)

  test('a name that is taken', async () => {
    const { page } = t
    await t.open('/consumers/create')
    await page.getByTestId('consumer-form-username').fill('taken')
    await page.getByTestId('consumer-create-form-submit').click()
    const note = page.getByTestId('field-error-username')
    await note.waitFor()
    assert.equal(await page.getByTestId('consumer-form-username').getAttribute('aria-invalid'), 'true')
    assert.match(await page.getByTestId('form-error').innerText(), /UNIQUE violation/)
    await shot(page, 'error-unique')
    // Another name is good.
    await page.getByTestId('consumer-form-username').fill(`free-${Date.now()}`)
    await note.waitFor({ state: 'detached' })
    await page.getByTestId('consumer-create-form-submit').click()
    await page.waitForURL(/consumers\/[0-9a-f-]{36}$/)
    await t.check({ expect: [409] })
  })

  test('a value that a plugin refuses', async () => {
    const { page } = t
    await t.open('/plugins/request-termination/create')
    await page.getByTestId('ff-config.status_code').fill('7')
    await page.getByTestId('plugin-create-form-submit').click()
    await page.getByTestId('field-error-config.status_code').waitFor()
    assert.match(await page.getByTestId('field-error-config.status_code').innerText(), /between 100 and 599/)
    await shot(page, 'error-plugin')
    await t.check({ expect: [409, 400] })
  })

  test('an entity that is gone', async () => {
    await t.open('/services/7b3f7a3c-0000-4000-8000-000000000000')
    await t.page.getByText(/not found|could not be/i).first().waitFor()
    await shot(t.page, 'error-gone')
    await t.check({ expect: [400, 404, 409] })
  })

  test('no Admin API', async () => {
    const { page } = t
    await t.open('/services')
    await page.route(/\/services\b.*size=/, (route) => route.abort())
    await t.go('/routes')
    await t.go('/services')
    await page.locator('.table-error-state, [class*="error-state"]').first().waitFor()
    await shot(page, 'error-offline')
    await settled(page)
    await page.unrouteAll()
  })
})
