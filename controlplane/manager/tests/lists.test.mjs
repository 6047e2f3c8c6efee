// Lists are paged and searched by the Admin API, so that their size does not matter; and what is below another entity
// is made and changed there.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { admin, close, confirmDelete, settled, shot, tab } from './lib/browser.mjs'

const workspace = 'walk-lists'
const many = Number(process.env.MANAGER_MANY ?? 1500)

describe('lists', () => {
  let t
  let upstream
  before(async () => {
    await admin('PUT', `/workspaces/${workspace}`, {})
    const have = (await admin('GET', `/${workspace}/consumers?size=1000`)).data.length
    for (let i = have; i < many; i += 50) {
      await Promise.all(Array.from({ length: Math.min(50, many - i) }, (_, n) => admin('PUT', `/${workspace}/consumers/user-${i + n}`, {})))
    }
    upstream = (await admin('PUT', `/${workspace}/upstreams/lists.internal`, {})).id
    t = await tab({ workspace })
  })
  after(close)

  test('pages', async () => {
    const { page } = t
    const sizes = []
    page.on('response', async (r) => {
      if (/consumers\?.*size=/.test(r.url()) && r.request().method() === 'GET') sizes.push((await r.body()).length)
    })
    await t.open('/consumers')
    assert.equal(await page.locator('tbody tr').count(), 30)
    await shot(page, 'list-pages')
    const first = await page.locator('tbody tr').first().getAttribute('data-testid')
    await page.getByTestId('next-button').click()
    await settled(page)
    assert.equal(await page.locator('tbody tr').count(), 30)
    assert.notEqual(await page.locator('tbody tr').first().getAttribute('data-testid'), first)
    assert.ok(Math.max(...sizes) < 64 << 10, `an answer has ${Math.max(...sizes)} bytes`)
  })

  test('search', async () => {
    const { page } = t
    await t.open('/consumers')
    // The row that is looked for may be on the page already.
    await Promise.all([
      page.waitForResponse((r) => r.url().includes(`user-${many - 1}`)),
      page.locator('.kong-ui-entity-filter-input').locator('input').first().fill(`user-${many - 1}`),
    ])
    await settled(page)
    await page.locator(`tr[data-testid="user-${many - 1}"]`).waitFor()
    assert.equal(await page.locator('tbody tr').count(), 1)
    await shot(page, 'list-search')
  })

  test('targets', async () => {
    const { page } = t
    await t.open(`/upstreams/${upstream}/targets`)
    await page.locator('.kong-ui-entities-targets-list [data-testid="empty-state-action"], .kong-ui-entities-targets-list .primary').first().click()
    await page.getByTestId('target-form-target').fill('127.0.0.1:9')
    await page.locator('.modal-container .primary:visible').last().click()
    await page.locator('tr:has-text("127.0.0.1:9")').waitFor()
    await settled(page)
    assert.equal((await admin('GET', `/${workspace}/upstreams/${upstream}/targets`)).data.length, 1)
    await shot(page, 'list-targets')
    await page.locator('tr:has-text("127.0.0.1:9")').getByTestId('row-actions-dropdown-trigger').click()
    await page.locator('[data-testid="action-entity-delete"]:visible').click()
    await confirmDelete(page, '127.0.0.1:9')
    assert.equal((await admin('GET', `/${workspace}/upstreams/${upstream}/targets`)).data.length, 0)
    await t.check()
  })
})
