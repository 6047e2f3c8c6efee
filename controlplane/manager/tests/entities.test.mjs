// Every kind of entities is made, seen, changed and deleted in its pages, as a person does it.
import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import { admin, choose, close, confirmDelete, rowAction, settled, shot, tab } from './lib/browser.mjs'
import { certificate, jwk } from './lib/pem.mjs'

const run = Date.now().toString(36)
const name = (kind) => `walk-${kind}-${run}`

/**
 * `path` is that of the pages, `api` that of the collection. `fill` fills the form of a new entity, `change` that of
 * an old one, and `changed` looks at what the Admin API has then. `label` is what a row is called by.
 */
const kinds = [
  {
    kind: 'service', path: 'services', api: 'services', submit: 'service', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('gateway-service-url-input').fill('http://127.0.0.1:9/walk')
      await page.getByTestId('gateway-service-name-input').fill(name('service'))
    },
    made: (e) => assert.equal(e.path, '/walk'),
    change: async (page) => {
      await page.getByTestId('gateway-service-port-input').fill('9443')
    },
    changed: (e) => assert.equal(e.port, 9443),
  },
  {
    kind: 'route', path: 'routes', api: 'routes', submit: 'route', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('route-form-name').fill(name('route'))
      await page.getByTestId('route-form-paths-input-1').fill('/walk')
    },
    made: (e) => assert.deepEqual(e.paths, ['/walk']),
    change: async (page) => {
      await page.getByTestId('route-form-tags').fill('one,two')
    },
    changed: (e) => assert.deepEqual(e.tags, ['one', 'two']),
  },
  {
    kind: 'consumer', path: 'consumers', api: 'consumers', submit: 'consumer', label: (e) => e.username,
    fill: async (page) => {
      await page.getByTestId('consumer-form-username').fill(name('consumer'))
    },
    change: async (page) => {
      await page.getByTestId('consumer-form-custom-id').fill(`id-${run}`)
    },
    changed: (e) => assert.equal(e.custom_id, `id-${run}`),
  },
  {
    kind: 'consumer-group', path: 'consumer-groups', api: 'consumer_groups', submit: 'consumer_group', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('consumer-group-form-name').fill(name('consumer-group'))
    },
    change: async (page) => {
      await page.getByTestId('consumer-group-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual((e.consumer_group ?? e).tags, ['walked']),
  },
  {
    kind: 'upstream', path: 'upstreams', api: 'upstreams', submit: 'upstream', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('upstreams-form-name').click()
      await page.getByTestId('upstreams-form-name').fill(name('upstream'))
      await page.locator('[data-testid="select-add-item"]:visible').click()
    },
    change: async (page) => {
      await page.getByTestId('upstreams-form-slots').fill('2000')
    },
    changed: (e) => assert.equal(e.slots, 2000),
  },
  {
    kind: 'certificate', path: 'certificates', api: 'certificates', submit: 'certificate', label: (e) => e.id, row: () => `CN=${name('cert')}`,
    fill: async (page) => {
      const pair = certificate(name('cert'))
      await page.getByTestId('certificate-form-cert').fill(pair.cert)
      await page.getByTestId('certificate-form-key').fill(pair.key)
      await page.getByTestId('sni-field-input-1').fill(`${name('cert')}.example`)
    },
    change: async (page) => {
      await page.getByTestId('certificate-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual(e.tags, ['walked']),
  },
  {
    kind: 'ca-certificate', path: 'ca-certificates', api: 'ca_certificates', submit: 'ca_certificate', label: (e) => e.id, row: () => `CN=${name('ca')}`,
    fill: async (page) => {
      await page.getByTestId('ca-certificate-form-cert').fill(certificate(name('ca'), { ca: true }).cert)
    },
    change: async (page) => {
      await page.getByTestId('ca-certificate-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual(e.tags, ['walked']),
  },
  {
    kind: 'sni', path: 'snis', api: 'snis', submit: 'sni', label: (e) => e.name, noPage: true,
    prepare: async () => {
      const { id } = await admin('POST', '/certificates', certificate('sni.example'))
      return { id, undo: () => admin('DELETE', `/certificates/${id}`) }
    },
    fill: async (page, { id }) => {
      await page.getByTestId('sni-form-name').fill(`${name('sni')}.example`)
      await choose(page, 'sni-form-certificate-id', id)
    },
    change: async (page) => {
      await page.getByTestId('sni-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual(e.tags, ['walked']),
  },
  {
    kind: 'vault', path: 'vaults', api: 'vaults', submit: 'vault', label: (e) => e.prefix,
    fill: async (page) => {
      await page.getByTestId('vault-form-config-kong-prefix').fill('WALK_')
      await page.getByTestId('vault-form-prefix').fill(name('vault'))
    },
    made: (e) => assert.equal(e.name, 'env'),
    change: async (page) => {
      await page.getByTestId('vault-form-description').fill('walked')
    },
    changed: (e) => assert.equal(e.description, 'walked'),
  },
  {
    kind: 'file-vault', path: 'vaults', api: 'vaults', submit: 'vault', label: (e) => e.prefix,
    fill: async (page) => {
      await choose(page, 'provider-select', 'file')
      await page.getByTestId('vault-form-config-path').fill('/run/walk')
      await page.getByTestId('vault-form-prefix').fill(name('file-vault'))
    },
    made: (e) => assert.deepEqual([e.name, e.config.path], ['file', '/run/walk']),
    change: async (page) => {
      assert.equal(await page.getByTestId('vault-form-config-path').inputValue(), '/run/walk')
      await page.getByTestId('vault-form-config-path').fill('')
    },
    changed: (e) => assert.equal(e.config.path, null),
  },
  {
    kind: 'key', path: 'keys', api: 'keys', submit: 'key', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('key-form-id').fill(`kid-${run}`)
      await page.getByTestId('key-form-name').fill(name('key'))
      await page.getByTestId('key-form-jwk').fill(JSON.stringify(jwk(`kid-${run}`)))
    },
    change: async (page) => {
      await page.getByTestId('key-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual(e.tags, ['walked']),
  },
  {
    kind: 'key-set', path: 'key-sets', api: 'key-sets', submit: 'set', label: (e) => e.name,
    fill: async (page) => {
      await page.getByTestId('key-set-form-name').fill(name('key-set'))
    },
    change: async (page) => {
      await page.getByTestId('key-set-form-tags').fill('walked')
    },
    changed: (e) => assert.deepEqual(e.tags, ['walked']),
  },
]

describe('entities', () => {
  let t
  beforeEach(async () => { t = await tab() })
  afterEach(() => t.close())
  after(close)

  for (const k of kinds) {
    test(k.kind, async () => {
      const { page } = t
      const prepared = await k.prepare?.()

      await t.open(`/${k.path}/create`)
      await k.fill(page, prepared)
      await shot(page, `entity-${k.kind}-create`)
      const [answer] = await Promise.all([
        page.waitForResponse((r) => ['POST', 'PUT'].includes(r.request().method()) && r.url().includes(`/${k.api}`)),
        page.getByTestId(`${k.submit}-create-form-submit`).click(),
      ])
      assert.equal(answer.status(), 201, await answer.text())
      let entity = await answer.json()
      entity = entity.consumer_group ?? entity
      k.made?.(await admin('GET', `/${k.api}/${entity.id}`))

      if (!k.noPage) {
        await page.waitForURL(`**/${k.path}/${entity.id}`)
        await settled(page)
        assert.match(await page.locator('.page-header .title').innerText(), new RegExp(k.label(entity)))
        await shot(page, `entity-${k.kind}-detail`)
        await page.getByTestId('header-edit-button').click()
      } else {
        await page.waitForURL(`**/${k.path}`)
        await settled(page)
        await rowAction(page, k.label(entity), 'edit')
      }
      await page.waitForURL(`**/${k.path}/${entity.id}/edit**`)
      await settled(page)
      await k.change(page)
      const [change] = await Promise.all([
        page.waitForResponse((r) => ['PATCH', 'PUT'].includes(r.request().method())),
        page.getByTestId(`${k.submit}-edit-form-submit`).click(),
      ])
      assert.equal(change.status(), 200, await change.text())
      k.changed(await admin('GET', `/${k.api}/${entity.id}`))

      await t.open(`/${k.path}`)
      await shot(page, `entity-${k.kind}-list`)
      const line = page.locator(`tr:has-text("${k.row?.(entity) ?? k.label(entity)}")`).first()
      await line.getByTestId('row-actions-dropdown-trigger').click()
      await page.locator('[data-testid="action-entity-delete"]:visible').click()
      await confirmDelete(page, String(k.label(entity)))
      await assert.rejects(admin('GET', `/${k.api}/${entity.id}`), { status: 404 })
      await page.locator('.toaster-container-outer, .k-toaster, [class*="toaster"]').first().waitFor()
      await prepared?.undo?.()
      await t.check()
    })
  }
})
