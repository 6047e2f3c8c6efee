// What the packages' components leave out for those who do not see the page: names of buttons and switches, icons
// that say nothing, and roles that promise what is not there. It works on elements as they appear.

type Repair = [selector: string, repair: (element: HTMLElement) => void]

const name = (element: Element, text: string) => {
  if (!element.getAttribute('aria-label')) {
    element.setAttribute('aria-label', text)
  }
}

const labelOf = (element: HTMLElement) => {
  const field = element.closest('.k-select, .k-multiselect, .k-input, [class*="-field"], .form-field, .field')
  return field?.querySelector('label')?.textContent?.trim() || element.querySelector('input')?.placeholder || ''
}

const repairs: Repair[] = [
  ['svg[role="img"]:not([aria-label]):not(:has(> title))', (svg) => { svg.setAttribute('aria-hidden', 'true') }],
  ['ul[role="tablist"] > li', (item) => { item.setAttribute('role', 'presentation') }],
  ['[aria-controls]', (element) => {
    if (!document.getElementById(element.getAttribute('aria-controls') ?? '')) {
      element.removeAttribute('aria-controls')
    }
  }],
  // What scrolls must be reached to be scrolled.
  ['code:not([tabindex]), pre:not([tabindex])', (code) => {
    if (code.scrollWidth > code.clientWidth || code.scrollHeight > code.clientHeight) {
      code.tabIndex = 0
    }
  }],
  ['button.actions-dropdown-trigger', (button) => { name(button, 'Actions') }],
  // A box around a field is no list; the list opens elsewhere.
  ['.select-wrapper[role="listbox"], .multiselect-trigger[role="listbox"]', (box) => {
    box.setAttribute('role', 'group')
    name(box, labelOf(box) || 'Choices')
  }],
  ['.switch-control[role="checkbox"]', (control) => {
    const label = document.getElementById(control.getAttribute('aria-labelledby') ?? '')
    if (!label?.textContent?.trim()) {
      control.removeAttribute('aria-labelledby')
      name(control, labelOf(control) || 'Enabled')
    }
  }],
  ['input:not([type="hidden"]):not([aria-label]):not([aria-labelledby])', (input) => {
    const field = input as HTMLInputElement
    if (!field.labels?.length && !field.title) {
      name(field, labelOf(field) || field.placeholder || field.dataset.testid || 'Value')
    }
  }],
  ['a:not([aria-label]), button:not([aria-label])', (element) => {
    const icon = element.querySelector('.kui-icon')
    if (icon && !element.textContent?.trim() && !element.title) {
      const kind = [...icon.classList].find((c) => c.endsWith('-icon') && c !== 'kui-icon')
      name(element, (element.dataset.testid ?? kind ?? 'action').replace(/-icon$/, '').replace(/[-_]+/g, ' '))
    }
  }],
]

function repair(root: ParentNode): void {
  for (const [selector, fix] of repairs) {
    root.querySelectorAll<HTMLElement>(selector).forEach(fix)
  }
}

/** Repairs the page from now on. Work is put together once a frame. */
export function keepRepaired(): void {
  let due = false
  new MutationObserver(() => {
    if (!due) {
      due = true
      requestAnimationFrame(() => {
        due = false
        repair(document)
      })
    }
  }).observe(document.body, { childList: true, subtree: true })
}
