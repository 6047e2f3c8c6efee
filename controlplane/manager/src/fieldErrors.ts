// The Admin API says which fields of an entity it refuses; the packages' forms show that as one sentence at the end.
// Here each sentence also goes to its field.

const mark = 'field-error'

/** {"config":{"minute":"why"}} becomes [["config.minute", "why"]]. What is said of the whole entity has no field. */
function flatten(fields: unknown, path = ''): Array<[path: string, text: string]> {
  if (typeof fields === 'string') {
    return path ? [[path, fields]] : []
  }
  if (!fields || typeof fields !== 'object') {
    return []
  }
  return Object.entries(fields).flatMap(([key, value]) => key.startsWith('@') ? [] : flatten(value, path ? `${path}.${key}` : key))
}

/** The input of a field: forms of plugins name them by path, those of entities by their own words. */
function inputOf(form: Element, path: string): HTMLElement | null {
  const last = path.split('.').filter((part) => !/^\d+$/.test(part)).pop() ?? path
  const kebab = CSS.escape(last.replaceAll('_', '-'))
  const exact = CSS.escape(path)
  for (const selector of [
    `[data-testid="ff-${exact}"]`, `[data-testid$="-form-${kebab}"]`, `[data-testid$="-${kebab}-input"]`, `[data-testid^="route-form-${kebab}-input"]`,
    `[data-testid$="-${kebab}"]`, `[name="${exact}"]`, `[id="${exact}"]`,
  ]) {
    const found = form.querySelector<HTMLElement>(selector)
    if (found) {
      return found.matches('input, textarea, select') ? found : found.querySelector<HTMLElement>('input, textarea, select') ?? found
    }
  }
  return null
}

/** Takes away what a field was marked with. */
function unmark(input: Element): void {
  input.removeAttribute('aria-invalid')
  input.removeAttribute('aria-describedby')
  input.removeAttribute('data-field-error')
}

export function clearFieldErrors(): void {
  document.querySelectorAll(`.${mark}`).forEach((note) => { note.remove() })
  document.querySelectorAll('[data-field-error]').forEach(unmark)
}

/** Shows the errors of an answer's body, and goes to the first. */
export function showFieldErrors(body: unknown): void {
  clearFieldErrors()
  const form = document.querySelector('#content')
  const fields = body && typeof body === 'object' && 'fields' in body ? flatten(body.fields) : []
  // Elements of a list share a field.
  const byInput = new Map<HTMLElement, Array<[path: string, text: string]>>()
  for (const [path, text] of fields) {
    const input = form && inputOf(form, path)
    if (input) {
      byInput.set(input, [...byInput.get(input) ?? [], [path, text]])
    }
  }
  for (const [index, [input, errors]] of [...byInput].entries()) {
    const note = document.createElement('p')
    note.className = mark
    note.id = `field-error-${index}`
    note.dataset.testid = `field-error-${errors[0]![0]}`
    note.textContent = errors.map(([, text]) => text).join('; ')
    const box = input.closest('.k-input, .k-select, .k-textarea, .k-multiselect, .k-input-switch, [class*="k-checkbox"]') ?? input
    box.insertAdjacentElement('afterend', note)
    input.setAttribute('aria-invalid', 'true')
    input.setAttribute('aria-describedby', note.id)
    input.setAttribute('data-field-error', '')
    input.addEventListener('input', () => {
      note.remove()
      unmark(input)
    }, { once: true })
  }
  const [first] = byInput.keys()
  first?.focus({ preventScroll: true })
  first?.scrollIntoView({ block: 'center' })
}
