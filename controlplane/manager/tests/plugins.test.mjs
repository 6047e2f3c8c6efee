// The form of every plugin, which follows from its schema: each is filled in, saved, changed and deleted.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createFiller } from '@kong-ui-public/entities-plugins/filler/playwright'
import { admin, close, confirmDelete, settled, shot, tab } from './lib/browser.mjs'

const workspace = 'walk-plugins'

/** What a person fills in, so that the plugin can be saved: its config, of fields that have no useful default. */
const configs = {
  acl: { allow: ['friends'] },
  'file-log': { path: '/tmp/walk.log' },
  'http-log': { http_endpoint: 'http://127.0.0.1:9/log' },
  'ip-restriction': { allow: ['10.0.0.0/8'] },
  loggly: { key: 'walk' },
  oauth2: { scopes: ['email'], enable_client_credentials: true, provision_key: 'walk' },
  opentelemetry: { traces_endpoint: 'http://127.0.0.1:9/v1/traces' },
  'post-function': { access: ['return'] },
  'pre-function': { access: ['return'] },
  'proxy-cache': { strategy: 'memory' },
  'rate-limiting': { minute: 5, policy: 'local' },
  redirect: { location: 'http://127.0.0.1:9/elsewhere' },
  'response-ratelimiting': undefined, // a map of records, which the test fills by itself
  'tcp-log': { host: '127.0.0.1', port: 9 },
  'udp-log': { host: '127.0.0.1', port: 9 },
}

const info = await admin('GET', '/')
const plugins = Object.keys(info.plugins.available_on_server).sort()

describe('plugins', () => {
  let t
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    for (const { id } of (await admin('GET', `/${workspace}/plugins?size=1000`)).data) {
      await admin('DELETE', `/${workspace}/plugins/${id}`)
    }
    t = await tab({ workspace, height: 1400 })
  })
  after(close)

  test('each is offered', async () => {
    await t.open('/plugins/select')
    for (const plugin of plugins) {
      assert.equal(await t.page.getByTestId(`${plugin}-card`).count(), 1, plugin)
    }
    await t.check()
  })

  for (const plugin of plugins) {
    test(plugin, async () => {
      const { page } = t
      const filler = createFiller(page, await admin('GET', `/schemas/plugins/${plugin}`))
      await t.go(`/plugins/${plugin}/create`)
      const save = page.getByTestId('plugin-create-form-submit')
      await save.waitFor()
      const advanced = page.locator('[data-testid="ff-advanced-fields-container"] [data-testid="collapse-trigger-content"]')
      if (await advanced.count() && await advanced.first().isVisible()) {
        await advanced.first().click()
      }
      if (plugin === 'response-ratelimiting') {
        await page.getByTestId('ff-map-add-btn-config.limits').click()
        await page.locator('[data-testid="ff-map-key-config.limits.0"]').fill('video')
        await page.locator('[data-testid^="ff-config.limits"][data-testid$=".minute"]').fill('5')
      }
      for (const [field, value] of Object.entries(configs[plugin] ?? {})) {
        await filler.fillField(`config.${field}`, value)
      }
      await shot(page, `plugin-${plugin}`)
      const [answer] = await Promise.all([
        page.waitForResponse((r) => r.request().method() === 'POST' && r.url().endsWith('/plugins')),
        save.click(),
      ])
      assert.equal(answer.status(), 201, await answer.text())
      const made = await answer.json()
      for (const [field, value] of Object.entries(configs[plugin] ?? {})) {
        assert.deepEqual(made.config[field], value, field)
      }

      await page.waitForURL(`**/plugins/${plugin}/${made.id}`)
      await page.getByTestId('header-edit-button').click()
      await page.getByTestId('plugin-edit-form-submit').waitFor()
      await settled(page)
      await page.locator('[data-testid="ff-enabled"] input').evaluate((input) => input.click())
      const [change] = await Promise.all([
        page.waitForResponse((r) => ['PUT', 'PATCH'].includes(r.request().method()) && r.url().includes('/plugins/')),
        page.getByTestId('plugin-edit-form-submit').click(),
      ])
      assert.equal(change.status(), 200, await change.text())
      const changed = await change.json()
      assert.equal(changed.enabled, false)
      // What the form did not change is as it was.
      assert.deepEqual(changed.config, made.config)
      await page.waitForURL(`**/plugins/${plugin}/${made.id}`)
      await t.check()
    })
  }

  test('each is listed and deleted', async () => {
    const { page } = t
    await t.open('/plugins')
    await shot(page, 'plugin-list')
    const made = (await admin('GET', `/${workspace}/plugins?size=1000`)).data.length
    assert.equal(made, plugins.length)
    for (let left = made; left > 0; left--) {
      await page.locator('tbody tr').first().getByTestId('row-actions-dropdown-trigger').click()
      await page.locator('[data-testid="action-entity-delete"]:visible').click()
      await confirmDelete(page)
      await settled(page)
    }
    assert.deepEqual((await admin('GET', `/${workspace}/plugins`)).data, [])
    await t.check()
  })
})
