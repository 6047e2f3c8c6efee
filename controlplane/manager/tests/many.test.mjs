// A control plane with 100,000 entities: pages are small, whatever they show, and a person finds what they look for.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { accessible, admin, close, settled, shot, tab } from './lib/browser.mjs'

const base = process.env.MANY_URL
const api = process.env.MANY_ADMIN_URL
const services = 2000
const routesEach = 48
const skip = !base && 'MANY_URL is not set: the Go test TestManager sets it'

before(async () => {
  if (skip) return
  const document = { _format_version: '3.0', services: [], consumers: [] }
  for (let s = 0; s < services; s++) {
    const routes = Array.from({ length: routesEach }, (_, r) => ({ name: `route-${s}-${r}`, paths: [`/s${s}/r${r}`] }))
    document.services.push({ name: `service-${s}`, url: 'http://127.0.0.1:9', routes })
    document.consumers.push({ username: `consumer-${s}` })
  }
  await admin('POST', '/config', document, api)
})
after(close)

test('100,000 entities', { skip }, async () => {
  const t = await tab({ base, api })
  const { page } = t
  // Every answer that a page asks for is counted from here.
  let bytes = 0
  let answers = 0
  page.on('response', async (r) => {
    if (r.url().startsWith(api) && r.request().method() === 'GET') {
      answers++
      bytes += (await r.body().catch(() => '')).length
    }
  })
  const costs = async (what, act, most = 256 << 10) => {
    [bytes, answers] = [0, 0]
    await act()
    await settled(page)
    assert.ok(answers <= 8, `${what} asks the Admin API ${answers} times`)
    assert.ok(bytes < most, `${what} reads ${bytes} bytes`)
  }
  const rows = page.locator('tbody tr')

  await costs('the first page of routes', () => t.open('/routes'))
  assert.equal(await rows.count(), 30)
  await shot(page, 'many-routes')
  const seen = new Set()
  for (let n = 0; n < 3; n++) {
    for (const id of await rows.evaluateAll((all) => all.map((row) => row.dataset.testid))) seen.add(id)
    await costs('the next page', () => page.getByTestId('next-button').click())
  }
  assert.equal(seen.size, 90, 'three pages have 90 routes')

  await costs('a search by name', async () => {
    await t.open('/routes')
    await page.locator('.kong-ui-entity-filter-input input, [data-testid="search-input"]').first().fill('route-1999-47')
    await page.locator('tr[data-testid="route-1999-47"]').waitFor()
  })
  assert.equal(await rows.count(), 1)
  await costs('the page of a route', async () => {
    await page.locator('tr[data-testid="route-1999-47"]').click()
    await page.getByRole('heading', { level: 1, name: /route-1999-47/ }).waitFor()
  })

  const { id } = await admin('GET', '/services/service-1500', undefined, api)
  await costs('the routes of a service', () => t.open(`/services/${id}/routes`))
  assert.equal(await rows.count(), 30)
  for (const path of ['/services', '/consumers', '/plugins', '/', '/history', '/health', '/data-planes']) {
    await costs(path, () => t.open(path))
  }
  await accessible(page, 'data planes of many')

  // A new route offers services to choose from: a thousand at the most, and what is searched for.
  await costs('a new route', async () => {
    await t.open('/routes/create')
    await page.getByTestId('route-form-service-id').click()
    await page.getByTestId('route-form-service-id').fill('service-1777')
    await page.locator('[data-testid^="select-item-"]:visible').filter({ hasText: 'service-1777' }).first().waitFor()
  }, 512 << 10)
  await t.check()
  await t.close()
})
