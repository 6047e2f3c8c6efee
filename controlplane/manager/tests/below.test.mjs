// What belongs to another entity is made, changed and deleted in that one's pages: credentials and groups of a
// consumer, targets of an upstream, keys of a set, SNIs of a certificate.
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { admin, choose, close, confirmDelete, settled, shot, tab } from './lib/browser.mjs'
import { certificate, pemKeys } from './lib/pem.mjs'

const run = Date.now().toString(36)
const workspace = `below-${run}`
const api = (method, path, body) => admin(method, `/${workspace}${path}`, body)

const credentials = [
  { plugin: 'key-auth', path: 'key-auth', row: () => 'walk-key', fill: { key: 'walk-key' }, change: { key: 'other-key' }, changed: (e) => assert.equal(e.key, 'other-key') },
  { plugin: 'basic-auth', path: 'basic-auth', row: () => 'walker', fill: { username: 'walker', password: 'secret' }, change: { username: 'runner' }, changed: (e) => assert.equal(e.username, 'runner') },
  { plugin: 'hmac-auth', path: 'hmac-auth', row: () => 'walker', fill: { username: 'walker', secret: 's3cret' }, change: { secret: 'other' }, changed: (e) => assert.equal(e.secret, 'other') },
  { plugin: 'jwt', path: 'jwt', row: () => 'issuer', fill: { key: 'issuer', secret: 's3cret' }, change: { tags: 'walked' }, changed: (e) => assert.deepEqual(e.tags, ['walked']) },
  { plugin: 'acl', path: 'acls', config: { allow: ['walkers'] }, row: () => 'walkers', fill: { group: 'walkers' }, change: { group: 'runners' }, changed: (e) => assert.equal(e.group, 'runners') },
  { plugin: 'oauth2', path: 'oauth2', config: { enable_client_credentials: true }, row: () => 'walk-app', fill: { name: 'walk-app', client_id: 'app', client_secret: 'secret' }, change: { name: 'other-app' }, changed: (e) => assert.equal(e.name, 'other-app') },
]

describe('below others', () => {
  let t
  let consumer
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    consumer = (await api('PUT', '/consumers/walker', {})).id
    for (const { plugin, config } of credentials) {
      await api('POST', '/plugins', { name: plugin, config })
    }
  })
  after(async () => {
    await close()
    for (const kind of ['plugins', 'consumers', 'consumer_groups', 'upstreams', 'key-sets', 'certificates']) {
      for (const { id } of (await api('GET', `/${kind}?size=1000`)).data) await api('DELETE', `/${kind}/${id}`)
    }
    await admin('DELETE', `/workspaces/${workspace}`)
  })
  beforeEach(async () => { t = await tab({ workspace }) })
  afterEach(() => t.close())

  const fill = async (page, fields) => {
    for (const [id, value] of Object.entries(fields)) await page.locator(`#${id}`).fill(value)
  }

  for (const c of credentials) {
    test(`credential of ${c.plugin}`, async () => {
      const { page } = t
      const list = page.getByTestId(`credentials-${c.plugin}`)
      await t.open(`/consumers/${consumer}/credentials`)
      await list.getByTestId('empty-state-action').click()
      await page.waitForURL(`**/credentials/${c.plugin}/create**`)
      await settled(page)
      await fill(page, c.fill)
      await shot(page, `credential-${c.plugin}`)
      await page.getByTestId('plugin-create-form-submit').click()
      await page.waitForURL(/credentials$/)
      await settled(page)
      const { data: [made] } = await api('GET', `/consumers/${consumer}/${c.path}`)
      assert.ok(made, 'there is a credential')

      // The same once more is refused, at the end of the form and, where the fields are named, there.
      if (!['acl'].includes(c.plugin)) {
        await list.getByTestId('toolbar-add-credential').click()
        await settled(page)
        await fill(page, c.fill)
        await page.getByTestId('plugin-create-form-submit').click()
        await page.getByText(/UNIQUE violation/).first().waitFor()
        await page.locator('.field-error').first().waitFor()
        await page.getByTestId('plugin-create-form-cancel').click()
        await page.waitForURL(/credentials$/)
        await settled(page)
      }

      const row = list.locator('tbody tr').first()
      await row.getByTestId('row-actions-dropdown-trigger').click()
      await page.locator('[data-testid="action-entity-edit"]:visible').click()
      await page.waitForURL(`**/credentials/${c.plugin}/${made.id}/edit**`)
      await settled(page)
      await fill(page, c.change)
      await page.getByTestId('plugin-edit-form-submit').click()
      await page.waitForURL(/credentials$/)
      await settled(page)
      c.changed(await api('GET', `/consumers/${consumer}/${c.path}/${made.id}`))

      await list.locator('tbody tr').first().getByTestId('row-actions-dropdown-trigger').click()
      await page.locator('[data-testid="action-entity-delete"]:visible').click()
      await confirmDelete(page)
      await settled(page)
      assert.deepEqual((await api('GET', `/consumers/${consumer}/${c.path}`)).data, [])
      await t.check({ expect: [409] })
    })
  }

  test('members of a group', async () => {
    const { page } = t
    const group = await api('PUT', '/consumer_groups/gold', {})
    const id = group.consumer_group?.id ?? group.id
    await t.open(`/consumer-groups/${id}/consumers`)
    await page.getByTestId('empty-state-action').click()
    await page.locator('.modal-container .multiselect-trigger').click()
    await page.locator(`[data-testid="multiselect-item-${consumer}"]:visible`).click()
    await page.locator('.modal-container .modal-title').click() // the list of choices closes
    await page.locator('.modal-container').getByTestId('modal-action-button').click()
    await page.locator('tr[data-testid="walker"]').waitFor()
    assert.equal((await api('GET', `/consumer_groups/${id}/consumers`)).data[0].id, consumer)
    await shot(page, 'group-members')

    // The same is seen from the consumer.
    await t.open(`/consumers/${consumer}/consumer-groups`)
    await page.locator('tr', { hasText: 'gold' }).waitFor()

    await t.open(`/consumer-groups/${id}/consumers`)
    await page.locator('tr[data-testid="walker"]').getByTestId('row-actions-dropdown-trigger').click()
    await page.locator('[data-testid="action-entity-delete"]:visible, [data-testid="action-entity-remove"]:visible').first().click()
    await page.locator('.modal-container').getByTestId('modal-action-button').click()
    await page.locator('.modal-container').waitFor({ state: 'detached' })
    await settled(page)
    assert.deepEqual((await api('GET', `/consumer_groups/${id}/consumers`)).data, [])
    await t.check()
  })

  test('targets of an upstream', async () => {
    const { page } = t
    const upstream = (await api('PUT', '/upstreams/below.internal', {})).id
    await t.open(`/upstreams/${upstream}/targets`)
    await page.getByTestId('empty-state-action').click()
    await page.getByTestId('target-form-target').fill('::::')
    await page.getByTestId('modal-action-button').click()
    assert.match(await page.getByTestId('field-error-target').innerText(), /not a valid hostname or ip address/)
    await shot(page, 'target-error')
    await page.getByTestId('target-form-target').fill('127.0.0.1:9')
    await page.getByTestId('modal-action-button').click()
    const row = page.locator('tr:has-text("127.0.0.1:9")')
    await row.waitFor()

    const act = async (action) => {
      await row.getByTestId('row-actions-dropdown-trigger').click()
      await action()
      await settled(page)
    }
    await act(async () => {
      await page.locator('[data-testid="action-entity-edit"]:visible').click()
      await page.getByTestId('target-form-weight').fill('7')
      await page.getByTestId('modal-action-button').click()
      await page.locator('.modal-container').waitFor({ state: 'detached' })
    })
    assert.equal((await api('GET', `/upstreams/${upstream}/targets`)).data[0].weight, 7)
    for (const health of ['unhealthy', 'healthy']) {
      const [answer] = await Promise.all([
        page.waitForResponse((r) => r.request().method() === 'PUT' && r.url().endsWith(`/${health}`)),
        act(() => page.getByText(`Mark ${health}`, { exact: true }).locator('visible=true').click()),
      ])
      assert.equal(answer.status(), 204)
      await page.getByText(`was marked as ${health}`).first().waitFor()
    }
    await act(async () => {
      await page.locator('[data-testid="action-entity-delete"]:visible').click()
      await confirmDelete(page, '127.0.0.1:9')
    })
    assert.deepEqual((await api('GET', `/upstreams/${upstream}/targets`)).data, [])
    await t.check({ expect: [400] })
  })

  test('key of a set, in PEM', async () => {
    const { page } = t
    const set = (await api('PUT', '/key-sets/below', {})).id
    const pair = pemKeys()
    await t.open(`/key-sets/${set}/keys`)
    await page.getByTestId('empty-state-action').click()
    await page.waitForURL('**/keys/create**')
    await settled(page)
    await page.getByTestId('key-form-id').fill('kid')
    await page.getByTestId('key-form-name').fill('pem')
    await choose(page, 'key-form-key-format', 'pem')
    await page.getByTestId('key-form-private-key').fill(pair.private_key)
    await page.getByTestId('key-form-public-key').fill(pair.public_key)
    await shot(page, 'key-pem')
    await page.getByTestId('key-create-form-submit').click()
    await page.waitForURL((url) => !url.pathname.endsWith('/create'))
    await settled(page)
    const { data: [key] } = await api('GET', `/key-sets/${set}/keys`)
    assert.equal(key.kid, 'kid')
    assert.match(key.pem.public_key, /BEGIN PUBLIC KEY/)
    await t.open(`/key-sets/${set}/keys`)
    await page.locator('tr[data-testid="pem"]').waitFor()
    await t.check()
  })

  test('SNI of a certificate', async () => {
    const { page } = t
    const { id } = await api('POST', '/certificates', certificate('below.example'))
    await t.open('/snis/create')
    await page.getByTestId('sni-form-name').fill('not a name')
    await choose(page, 'sni-form-certificate-id', id)
    await page.getByTestId('sni-create-form-submit').click()
    await page.getByTestId('field-error-name').waitFor()
    await page.getByTestId('sni-form-name').fill('below.example')
    await page.getByTestId('sni-create-form-submit').click()
    await page.waitForURL('**/snis')
    await t.open(`/certificates/${id}`)
    await page.getByText('below.example').first().waitFor()
    assert.deepEqual((await api('GET', `/certificates/${id}`)).snis, ['below.example'])
    await t.check({ expect: [400] })
  })
})
