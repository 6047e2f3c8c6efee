// The pages that only Sluice has, with traffic through a data plane where there is one (PROXY_URL).
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { accessible, admin, adminURL, close, settled, shot, tab } from './lib/browser.mjs'

const run = Date.now().toString(36)
const service = `fleet-${run}`
const pool = `pool-${run}`
const proxyURL = process.env.PROXY_URL?.replace(/\/$/, '')

/** Tries until it does not throw. */
async function eventually(what, wait = 20_000) {
  const end = Date.now() + wait
  for (;;) {
    try {
      return await what()
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

describe('pages of our own', () => {
  let t
  before(async () => {
    const upstream = new URL(adminURL)
    await admin('POST', '/upstreams', { name: pool })
    await admin('POST', `/upstreams/${pool}/targets`, { target: upstream.host })
    await admin('POST', '/services', { name: service, host: pool, path: '/status' })
    await admin('POST', `/services/${service}/routes`, { name: service, paths: [`/${service}`] })
    await admin('POST', `/services/${service}/routes`, { name: `${service}-wide`, paths: [`/${service.slice(0, 8)}`] })
    await admin('POST', `/routes/${service}/plugins`, { name: 'correlation-id', config: { header_name: 'X-Walk' } })
    if (proxyURL) {
      await eventually(async () => {
        const answer = await fetch(`${proxyURL}/${service}`)
        assert.equal(answer.status, 200)
      })
    }
  })
  after(async () => {
    await t?.close()
    for (const path of [`/routes/${service}`, `/routes/${service}-wide`, `/services/${service}`, `/upstreams/${pool}`]) {
      await admin('DELETE', path)
    }
    await close()
  })

  for (const [theme, width] of [['light', 1280], ['dark', 1280], ['light', 380]]) {
    test(`every page by ${theme} at ${width}`, async () => {
      const own = await tab({ theme, width })
      try {
        for (const path of ['/', '/data-planes', '/health', '/history', `/explain?path=/${service}`, '/import-export', '/admin-tokens']) {
          await own.page.goto('about:blank')
          await own.open(path)
          await own.page.getByRole('heading', { level: 1 }).waitFor()
          await shot(own.page, `own${path.replace(/[/?=]+/g, '-')}-${theme}-${width}`)
          await accessible(own.page, `${path} by ${theme} at ${width}`)
          const wide = await own.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
          assert.ok(wide <= 0, `${path} is ${wide} px wider than the window`)
        }
        await own.check()
      } finally {
        await own.close()
      }
    })
  }

  test('overview shows the traffic', { skip: proxyURL ? false : 'needs a data plane' }, async () => {
    t = await tab()
    for (let i = 0; i < 20; i++) {
      await fetch(`${proxyURL}/${service}`)
    }
    await t.open('/')
    const row = t.page.getByTestId('overview-services').locator('tr', { hasText: service })
    await row.waitFor()
    await t.page.getByTestId('overview-service').selectOption({ label: service })
    await eventually(async () => {
      const tiles = await t.page.getByTestId('overview-tiles').innerText()
      const all = Number(/([\d,]+) in all/.exec(tiles)?.[1]?.replace(',', '') ?? 0)
      assert.ok(all >= 20, tiles)
    })
    assert.match(await t.page.getByTestId('overview-requests').locator('table').innerText(), /2xx/)
    await row.getByRole('link', { name: service }).click()
    await t.page.getByRole('heading', { level: 1, name: service }).waitFor()
    await t.check()
    await t.close()
    t = undefined
  })

  test('data planes show what they serve', { skip: proxyURL ? false : 'needs a data plane' }, async () => {
    t = await tab()
    const { data: [node] } = await admin('GET', '/clustering/data-planes')
    await t.open('/data-planes')
    const row = t.page.getByTestId(`data-plane-${node.id}`)
    await row.getByText('up to date').waitFor()
    await t.page.getByTestId(`data-plane-details-${node.id}`).click()
    await t.page.getByText(node.position.lineage).waitFor()
    for (const [action, state] of [['drain', 'draining'], ['undrain', 'up to date']]) {
      await t.page.getByTestId(`data-plane-${action}-${node.id}`).click()
      await t.page.locator('.k-prompt').getByTestId('modal-action-button').click()
      await row.getByText(state).waitFor()
    }
    await t.page.getByTestId('data-planes-search').fill('nothing is called so')
    await t.page.getByText('No data plane fits.').waitFor()
    await t.check()
    await t.close()
    t = undefined
  })

  test('health shows targets and takes marks', { skip: proxyURL ? false : 'needs a data plane' }, async () => {
    t = await tab()
    await t.open('/health')
    await t.page.getByTestId('health-search').fill(pool)
    await t.page.getByTestId('health-search').press('Enter')
    const upstream = t.page.getByTestId(`health-${pool}`)
    const target = new URL(adminURL).host
    await upstream.getByTestId(`mark-unhealthy-${target}`).click()
    await eventually(async () => {
      const { data } = await admin('GET', `/upstreams/${pool}/health`)
      assert.equal(data[0].nodes[0].health, 'UNHEALTHY')
    })
    await upstream.locator('tbody').getByText('unhealthy', { exact: true }).first().waitFor()
    await upstream.getByTestId(`mark-healthy-${target}`).click()
    await t.page.getByTestId('health-unhealthy').check()
    await t.page.getByTestId('health-empty').waitFor()
    await t.check()
    await t.close()
    t = undefined
  })

  test('explain tells which route wins, and why', { skip: proxyURL ? false : 'needs a data plane' }, async () => {
    t = await tab()
    await t.open('/explain')
    await t.page.getByTestId('explain-path').fill(`/${service}/a`)
    await t.page.getByTestId('explain-headers').fill('no colon here')
    await t.page.getByText('Each line is a name').waitFor()
    await t.page.getByTestId('explain-headers').fill('Accept: text/plain')
    await t.page.getByTestId('explain-submit').click()
    const result = t.page.getByTestId('explain-result')
    await result.getByText('wins').waitFor()
    const rows = await result.locator('tbody tr').allInnerTexts()
    assert.match(rows[0], new RegExp(`^${service}\\s.*wins`, 's'))
    assert.match(rows[1], new RegExp(`^${service}-wide`))
    await result.getByTestId('explain-plugin-correlation-id').locator('summary').click()
    await result.getByText('"X-Walk"').waitFor()
    assert.match(t.page.url(), /path=/)
    await t.page.getByTestId('explain-path').fill('/there/is/nothing/there')
    await t.page.getByTestId('explain-submit').click()
    await result.getByText('No route matches').waitFor()
    await t.check()
    await t.close()
    t = undefined
  })

  // Importing replaces everything in a workspace: this one has its own, for other walks change the default one meanwhile.
  test('export, change, look at the changes, import', async () => {
    const workspace = `import-${run}`
    const path = `/${workspace}/services/${service}`
    await admin('POST', '/workspaces', { name: workspace })
    try {
      await admin('PUT', path, { host: 'localhost', path: '/status' })
      t = await tab({ workspace })
      await t.open('/import-export')
      const [download] = await Promise.all([t.page.waitForEvent('download'), t.page.getByTestId('export').click()])
      const yaml = await readFile(await download.path(), 'utf8')
      assert.match(yaml, new RegExp(`name: ${service}`))
      await t.page.getByTestId('import-text').fill('_format_version: "3.0"\nservices:\n- name: broken\n  port: 99999999\n')
      await t.page.getByTestId('import-preview').click()
      await t.page.getByText('port: value should be between 0 and 65535').waitFor()
      await t.page.getByTestId('import-text').fill(yaml)
      await t.page.getByTestId('import-preview').click()
      await t.page.getByText('Nothing changes.').waitFor()
      const other = yaml.replace('path: "/status"', 'path: "/other"')
      assert.notEqual(other, yaml)
      await t.page.getByTestId('import-text').fill(other)
      await t.page.getByTestId('import-preview').click()
      const changes = t.page.getByTestId('changes')
      await changes.getByText('0 new, 1 changed, 0 removed.').waitFor()
      await changes.getByText('/other').waitFor()
      await shot(t.page, 'own-import-changes')
      assert.equal((await admin('GET', path)).path, '/status', 'a preview changes nothing')
      await t.page.getByTestId('import-apply').click()
      await eventually(async () => assert.equal((await admin('GET', path)).path, '/other'))
      assert.equal((await admin('GET', `/services/${service}`)).path, '/status', 'another workspace stays as it is')
      await settled(t.page)
      await t.check({ expect: [400] })
      await t.close()
      t = undefined
    } finally {
      await admin('DELETE', `/${workspace}/services/${service}`).catch(() => undefined)
      await admin('DELETE', `/workspaces/${workspace}`)
    }
  })

  // The history of a workspace of its own, for restoring brings back all that was changed since, by other walks too.
  test('history shows what changed and brings it back', async () => {
    const workspace = `history-${run}`
    const path = `/${workspace}/services/${service}`
    await admin('POST', '/workspaces', { name: workspace })
    try {
      await admin('PUT', path, { host: 'localhost', path: '/status' })
      const { data: [earlier] } = await admin('GET', `/${workspace}/history?size=1`)
      await admin('PATCH', path, { path: '/mistaken' })
      const { data: [mistake] } = await admin('GET', `/${workspace}/history?size=1`)
      assert.ok(mistake.revision > earlier.revision)
      t = await tab({ workspace })
      await t.open('/history')
      const row = t.page.getByTestId(`revision-${mistake.revision}`)
      await row.getByText(`services ${service} changed`).waitFor()
      await t.page.getByTestId(`revision-show-${mistake.revision}`).click()
      await t.page.getByTestId('changes').getByText('/mistaken').waitFor()
      await t.page.getByTestId('revision-delivery').waitFor()
      await shot(t.page, 'own-history')
      await settled(t.page)
      await accessible(t.page, 'history')
      await t.page.getByTestId(`revision-restore-${earlier.revision}`).click()
      const modal = t.page.locator('.modal-container')
      await modal.getByText('0 new, 1 changed, 0 removed.').waitFor()
      await shot(t.page, 'own-history-restore')
      await modal.getByTestId('modal-action-button').click()
      await eventually(async () => assert.equal((await admin('GET', path)).path, '/status'))
      await settled(t.page)
      await t.check()
      await t.close()
      t = undefined
    } finally {
      await admin('DELETE', path).catch(() => undefined)
      await admin('DELETE', `/workspaces/${workspace}`)
    }
  })

  test('admin tokens are made and revoked', async () => {
    t = await tab()
    await t.open('/admin-tokens')
    await t.page.getByTestId('admin-token-name').fill(`walk-${run}`)
    await t.page.getByTestId('admin-token-create').click()
    const made = await t.page.getByTestId('admin-token-made').innerText()
    assert.ok(made.length > 20, made)
    await t.page.getByTestId('admin-token-name').fill(`walk-${run}`)
    await t.page.getByTestId('admin-token-create').click()
    await t.page.getByTestId('admin-token-form').locator('.wrong, [role=alert]').or(t.page.getByText(/UNIQUE violation|already/)).first().waitFor()
    await t.page.getByTestId(`admin-token-revoke-walk-${run}`).click()
    await t.page.locator('.k-prompt').getByRole('button', { name: 'Revoke' }).click()
    await eventually(async () => {
      const { data } = await admin('GET', '/admin-tokens')
      assert.ok(!data.some((token) => token.name === `walk-${run}`))
    })
    await t.check({ expect: [400, 409] })
    await t.close()
    t = undefined
  })
})
