// What goes wrong is said where a person looks: at the field, and in the form.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { admin, close, settled, shot, tab } from './lib/browser.mjs'
import { jwk } from './lib/pem.mjs'

const workspace = 'walk-errors'

describe('errors', () => {
  let t
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    for (const kind of ['consumers', 'consumer_groups', 'key-sets']) await admin('PUT', `/${workspace}/${kind}/taken`, {})
    await admin('PUT', `/${workspace}/keys/taken`, { kid: 'taken', jwk: JSON.stringify(jwk('taken')) })
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
    for (const mark of ['aria-invalid', 'aria-describedby']) {
      assert.notEqual(await page.getByTestId('consumer-form-username').getAttribute(mark), mark === 'aria-invalid' ? 'true' : 'field-error-0')
    }
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

  // One wrong value for each kind, that only the control plane knows to be wrong.
  const wrong = [
    { kind: 'service', path: 'services', form: 'service', fill: { 'gateway-service-url-input': 'http://a.example/ok', 'gateway-service-name-input': 'a b' }, at: 'name' },
    { kind: 'route', path: 'routes', form: 'route', fill: { 'route-form-name': 'a b', 'route-form-paths-input-1': '/a' }, at: 'name' },
    { kind: 'consumer group', path: 'consumer-groups', form: 'consumer_group', fill: { 'consumer-group-form-name': 'taken' }, at: 'name' },
    { kind: 'CA certificate', path: 'ca-certificates', form: 'ca_certificate', fill: { 'ca-certificate-form-cert': 'nothing' }, at: 'cert' },
    { kind: 'certificate', path: 'certificates', form: 'certificate', fill: { 'certificate-form-cert': 'nothing', 'certificate-form-key': 'nothing' }, at: 'cert' },
    { kind: 'vault', path: 'vaults', form: 'vault', fill: { 'vault-form-prefix': 'a b' }, at: 'prefix' },
    { kind: 'vault config', path: 'vaults', form: 'vault', fill: { 'vault-form-prefix': 'wrong', 'vault-form-config-kong-prefix': '1 2' }, at: 'config.prefix' },
    { kind: 'key', path: 'keys', form: 'key', fill: { 'key-form-id': 'kid', 'key-form-name': 'taken', 'key-form-jwk': JSON.stringify(jwk('kid')) }, at: 'name' },
    { kind: 'key set', path: 'key-sets', form: 'set', fill: { 'key-set-form-name': 'taken' }, at: 'name' },
  ]
  for (const w of wrong) {
    test(`a wrong value of a ${w.kind}`, async () => {
      const { page } = t
      await t.open(`/${w.path}/create`)
      for (const [id, value] of Object.entries(w.fill)) await page.getByTestId(id).fill(value)
      const [answer] = await Promise.all([
        page.waitForResponse((r) => r.request().method() !== 'GET' && r.status() >= 400),
        page.getByTestId(`${w.form}-create-form-submit`).click(),
      ])
      const note = page.getByTestId(`field-error-${w.at}`)
      await note.waitFor().catch((error) => { throw new Error(`${error.message}: ${w.at}`) })
      const { fields } = await answer.json()
      const said = w.at.split('.').reduce((all, key) => all[key], fields)
      assert.equal(await note.innerText(), said)
      await t.check({ expect: [400, 409] })
    })
  }

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
