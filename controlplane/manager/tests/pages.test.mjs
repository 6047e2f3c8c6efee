// Every page by day, by night and at phone width: nothing fails, axe finds no serious fault, nothing is wider than a
// phone, and the keyboard reaches everything.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { accessible, admin, close, settled, shot, tab } from './lib/browser.mjs'
import { certificate } from './lib/pem.mjs'

const workspace = 'walk-pages'
const made = {}

// Every page is looked at by day; the others differ in colours or in width alone, so that one page of each build tells.
const some = ['overview', 'service-list', 'service-create', 'service-detail', 'route-create', 'consumer-credentials', 'plugin-list', 'plugin-select',
  'plugin-create', 'plugin-detail', 'upstream-create', 'upstream-targets', 'certificate-detail', 'vault-create', 'key-create', 'not-found']
const looks = [
  { name: 'day', theme: 'light', width: 1280 },
  { name: 'night', theme: 'dark', width: 1280, only: some },
  { name: 'phone', theme: 'light', width: 360, height: 740, only: some },
  { name: 'phone-night', theme: 'dark', width: 360, height: 740, only: ['overview', 'service-list', 'plugin-create'] },
]

describe('pages', () => {
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    const put = (path, body) => admin('PUT', `/${workspace}/${path}`, body)
    made.service = (await put('services/orders', { url: 'http://127.0.0.1:9/orders', tags: ['shop'] })).id
    made.route = (await put('services/orders/routes/orders', { paths: ['/orders'], methods: ['GET', 'POST', 'DELETE'] })).id
    made.consumer = (await put('consumers/ann', { custom_id: '7' })).id
    made.group = (await put('consumer_groups/gold', {})).id
    made.upstream = (await put('upstreams/orders.internal', {})).id
    if (!(await admin('GET', `/${workspace}/upstreams/orders.internal/targets`)).data.length) {
      await admin('POST', `/${workspace}/upstreams/orders.internal/targets`, { target: '127.0.0.1:9', weight: 50 })
    }
    made.vault = (await put('vaults/secrets', { name: 'env', config: { prefix: 'WALK_' } })).id
    made.set = (await put('key-sets/partners', {})).id
    if (!(await admin('GET', `/${workspace}/certificates`)).data.length) {
      await admin('POST', `/${workspace}/certificates`, certificate('orders.example'))
      await admin('POST', `/${workspace}/ca_certificates`, { cert: certificate('Walk CA', { ca: true }).cert })
    }
    made.certificate = (await admin('GET', `/${workspace}/certificates`)).data[0].id
    made.authority = (await admin('GET', `/${workspace}/ca_certificates`)).data[0].id
    await put('snis/orders.example', { certificate: { id: made.certificate } })
    const plugins = (await admin('GET', `/${workspace}/plugins`)).data
    for (const [name, config] of [['key-auth', {}], ['rate-limiting', { minute: 5 }]]) {
      made[name] = (plugins.find((p) => p.name === name) ?? await admin('POST', `/${workspace}/services/orders/plugins`, { name, config })).id
    }
  })
  after(close)

  const pages = () => ({
    overview: '/',
    'service-list': '/services', 'service-create': '/services/create', 'service-edit': `/services/${made.service}/edit`,
    'service-detail': `/services/${made.service}`, 'service-routes': `/services/${made.service}/routes`, 'service-plugins': `/services/${made.service}/plugins`,
    'route-list': '/routes', 'route-create': '/routes/create', 'route-detail': `/routes/${made.route}`, 'route-plugins': `/routes/${made.route}/plugins`,
    'consumer-list': '/consumers', 'consumer-create': '/consumers/create', 'consumer-detail': `/consumers/${made.consumer}`,
    'consumer-credentials': `/consumers/${made.consumer}/credentials`, 'consumer-groups': `/consumers/${made.consumer}/consumer-groups`,
    'credential-create': `/consumers/${made.consumer}/credentials/key-auth/create`,
    'group-list': '/consumer-groups', 'group-create': '/consumer-groups/create', 'group-detail': `/consumer-groups/${made.group}`,
    'group-consumers': `/consumer-groups/${made.group}/consumers`,
    'plugin-list': '/plugins', 'plugin-select': '/plugins/select', 'plugin-create': '/plugins/rate-limiting/create',
    'plugin-detail': `/plugins/rate-limiting/${made['rate-limiting']}`, 'plugin-edit': `/plugins/key-auth/${made['key-auth']}/edit`,
    'upstream-list': '/upstreams', 'upstream-create': '/upstreams/create', 'upstream-detail': `/upstreams/${made.upstream}`,
    'upstream-targets': `/upstreams/${made.upstream}/targets`,
    'certificate-list': '/certificates', 'certificate-create': '/certificates/create', 'certificate-detail': `/certificates/${made.certificate}`,
    'ca-list': '/ca-certificates', 'ca-create': '/ca-certificates/create', 'ca-detail': `/ca-certificates/${made.authority}`,
    'sni-list': '/snis', 'sni-create': '/snis/create',
    'vault-list': '/vaults', 'vault-create': '/vaults/create', 'vault-detail': `/vaults/${made.vault}`,
    'key-list': '/keys', 'key-create': '/keys/create',
    'key-set-list': '/key-sets', 'key-set-create': '/key-sets/create', 'key-set-detail': `/key-sets/${made.set}`, 'key-set-keys': `/key-sets/${made.set}/keys`,
    'not-found': '/no/such/page',
  })

  for (const look of looks) {
    test(look.name, async () => {
      const t = await tab({ workspace, ...look })
      const faults = []
      await t.open('/')
      for (const [name, path] of Object.entries(pages()).filter(([page]) => !look.only || look.only.includes(page))) {
        await t.go(path)
        await shot(t.page, `page-${look.name}-${name}`)
        try {
          await accessible(t.page, name)
          const wide = await t.page.evaluate(() => document.scrollingElement.scrollWidth - window.innerWidth)
          assert.ok(wide <= 0, `${name} is ${wide} px wider than the screen`)
          assert.notEqual(await t.page.title(), 'Sluice Manager')
        } catch (error) {
          faults.push(`${name}: ${JSON.stringify(error.actual ?? error.message)}`)
        }
      }
      assert.deepEqual(faults, [])
      await t.check()
      await t.close()
    })
  }

  test('theme is kept', async () => {
    const t = await tab({ workspace })
    await t.open('/services')
    const theme = () => t.page.evaluate(() => document.documentElement.getAttribute('data-kui-theme'))
    assert.equal(await theme(), 'sluice-day')
    await t.page.getByTestId('theme-switch').click()
    assert.equal(await theme(), 'sluice-night')
    await t.page.reload()
    assert.equal(await theme(), 'sluice-night')
    await t.check()
    await t.close()
  })

  test('keyboard', async () => {
    const t = await tab({ workspace })
    await t.open('/services')
    const { page } = t
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content')
    await page.keyboard.press('Enter')
    assert.equal(await page.evaluate(() => document.activeElement.id), 'content')
    // From there Tab reaches the list's tools and rows.
    const reached = new Set()
    for (let i = 0; i < 20; i++) {
      await page.keyboard.press('Tab')
      reached.add(await page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.className))
    }
    for (const id of ['toolbar-add-gateway-service', 'row-actions-dropdown-trigger']) {
      assert.ok(reached.has(id), `${id} is not among ${[...reached].join(', ')}`)
    }
    await t.close()
  })

  test('workspaces', async () => {
    const t = await tab({})
    await t.open('/services')
    assert.equal(await t.page.locator('tr[data-testid="orders"]').count(), 0)
    await t.page.getByTestId('workspace-switch').selectOption(workspace)
    await t.page.waitForURL('**/')
    await settled(t.page)
    await t.page.locator('[data-testid^="sidebar-item"]:has-text("Gateway Services")').first().click()
    await t.page.locator('tr[data-testid="orders"]').waitFor()
    await t.check()
    await t.close()
  })
})
