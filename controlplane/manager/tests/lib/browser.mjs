// A browser on the manager of a running control plane. The Go test scripts/e2e TestManager starts both planes and says
// where they are; MANAGER_URL and ADMIN_URL can also name those of make run.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

export const managerURL = (process.env.MANAGER_URL ?? 'http://127.0.0.1:8002').replace(/\/$/, '')
export const adminURL = (process.env.ADMIN_URL ?? 'http://127.0.0.1:8001').replace(/\/$/, '')
const shots = process.env.MANAGER_SHOTS

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** Calls the Admin API past the UI, and returns the body. */
export async function admin(method, path, body, url = adminURL) {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await answer.text()
  const value = text ? JSON.parse(text) : undefined
  if (!answer.ok) {
    throw Object.assign(new Error(`${method} ${path}: ${answer.status} ${text}`), { status: answer.status, body: value })
  }
  return value
}

// The requests of each page's document that are under way, and when one began or ended.
const traffic = new WeakMap()

/**
 * Follows what the document of a page asks for. What a document before it had asked for ends without a word, also what
 * it asked for while the next one was on its way: requests carry the loader that they belong to, which Playwright's own
 * events do not tell.
 */
async function follow(page) {
  const now = { open: new Map(), loader: undefined, last: Date.now() }
  traffic.set(page, now)
  const session = await page.context().newCDPSession(page)
  const ended = ({ requestId }) => {
    now.open.delete(requestId)
    now.last = Date.now()
  }
  session.on('Network.requestWillBeSent', ({ requestId, loaderId, type, request }) => {
    if (['Script', 'Stylesheet', 'XHR', 'Fetch'].includes(type)) now.open.set(requestId, { loaderId, url: request.url })
    now.last = Date.now()
  })
  session.on('Network.loadingFinished', ended)
  session.on('Network.loadingFailed', ended)
  session.on('Page.frameNavigated', ({ frame }) => {
    if (frame.parentId) return
    now.loader = frame.loaderId
    now.last = Date.now()
  })
  await session.send('Page.enable')
  await session.send('Network.enable')
}

let browser
export async function launch() {
  browser ??= await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
  })
  return browser
}

export async function close() {
  await browser?.close()
  browser = undefined
}

/**
 * A tab that notes everything that must not happen: requests to other hosts, errors of scripts, and what the
 * Content-Security-Policy refused. `check` fails when something did, but for the statuses in `expect`.
 */
export async function tab(options = {}) {
  const { base = managerURL, api = adminURL, workspace, token, theme = 'light', width = 1280, height = 900 } = options
  const context = await (await launch()).newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: 'reduce' })
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(base).origin })
  await context.addInitScript(([ws, tk]) => {
    if (ws) localStorage.setItem('sluice-manager:workspace', ws)
    if (tk) sessionStorage.setItem('sluice-manager:token', tk)
    window.__refused = []
    document.addEventListener('securitypolicyviolation', (e) => window.__refused.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`))
  }, [workspace, token])
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const wrong = []
  const statuses = []
  const allowed = new Set([new URL(base).origin, new URL(api).origin])
  await follow(page)
  page.on('request', (request) => {
    const url = request.url()
    if (!/^(data|blob):/.test(url) && !allowed.has(new URL(url).origin)) wrong.push(`request to ${url}`)
  })
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack ?? error}`))
  page.on('console', (message) => {
    const text = message.text()
    // An answer that is no success is an error for the console; `statuses` has it.
    if (message.type() === 'error' && !text.startsWith('Failed to load resource')) wrong.push(`console: ${text}`)
    if (message.type() === 'warning' && text.includes('[Vue warn]')) wrong.push(`console: ${text}`)
  })
  page.on('response', (response) => {
    if (response.status() >= 400) statuses.push({ status: response.status(), url: response.url() })
  })
  return {
    page,
    statuses,
    /** Opens an address of the manager and waits until nothing is loading. */
    async open(path) {
      await page.goto(base + path)
      await settled(page)
    },
    /** Goes to another address as a link does, without loading the application again. */
    async go(path) {
      if (!page.url().startsWith(base)) {
        return this.open(path)
      }
      await page.evaluate((to) => document.querySelector('#app').__vue_app__.config.globalProperties.$router.push(to), path)
      await settled(page)
    },
    async check({ expect = [] } = {}) {
      const refused = await page.evaluate(() => window.__refused ?? [])
      const unexpected = statuses.filter((s) => !expect.includes(s.status)).map((s) => `${s.status} ${s.url}`)
      assert.deepEqual([...wrong, ...refused.map((r) => `refused: ${r}`), ...unexpected], [])
    },
    close: () => context.close(),
  }
}

/**
 * Waits until requests are done and skeletons gone, and the page has been drawn since: what `repair.ts` adds is there.
 * The load state of the page says nothing here, for it stays once it is reached, and the application goes on from page
 * to page without loading again.
 */
export async function settled(page) {
  await page.waitForLoadState('networkidle')
  const end = Date.now() + 15_000
  for (;;) {
    await page.waitForFunction(() => !document.querySelector('#content [class*="skeleton"]'), undefined, { timeout: 15_000 })
    const { open, last, loader } = traffic.get(page)
    const waiting = [...open.values()].filter((request) => request.loaderId === loader)
    if (!waiting.length && Date.now() - last > 150) break
    if (Date.now() > end) throw new Error(`still waiting for ${waiting.map(({ url }) => url)}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
}

/** Keeps a picture for those who look at it, when MANAGER_SHOTS names a folder. */
export async function shot(page, name) {
  if (shots) {
    await mkdir(shots, { recursive: true })
    await page.screenshot({ path: `${shots}/${name}.png` })
  }
}

/** Fails for every serious or critical fault that axe finds in the page, but for the colours of code in the editor. */
export async function accessible(page, name, { except = [] } = {}) {
  if (!await page.evaluate(() => 'axe' in window)) {
    await page.evaluate(await readFile(axePath, 'utf8'))
  }
  const { violations } = await page.evaluate((rules) => window.axe.run({ exclude: ['.monaco-editor'] }, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], rules: Object.fromEntries(rules.map((r) => [r, { enabled: false }])),
  }), except)
  const serious = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 4).map((n) => `${n.html.slice(0, 160)} [${n.failureSummary?.split('\n')[1]?.trim().slice(0, 140)}]`).join(' | ')}`)
  assert.deepEqual(serious, [], `axe on ${name}`)
}

/** Chooses from one of the packages' selects: the input opens the list. */
export async function choose(page, testID, value) {
  const input = page.getByTestId(testID)
  await input.click()
  await page.locator(`[data-testid="select-item-${value}"]:visible`).first().click()
}

/** Confirms the packages' modal of a deletion, which may ask for the name: it shows which. */
export async function confirmDelete(page, name = '') {
  const modal = page.locator('.kong-ui-entity-delete-modal .modal-container')
  await modal.waitFor()
  const input = modal.getByTestId('confirmation-input')
  if (await input.count()) {
    await input.fill(name || (await modal.locator('.confirmation-text').innerText()).replace(/^"|"$/g, ''))
  }
  await modal.getByTestId('modal-action-button').click()
  await modal.waitFor({ state: 'detached' })
}

/** Clicks an action of a row's menu. */
export async function rowAction(page, row, action) {
  const line = page.locator(`tr[data-testid="${row}"]`)
  await line.getByTestId('row-actions-dropdown-trigger').click()
  await page.locator(`[data-testid="action-entity-${action}"]:visible`).click()
}
