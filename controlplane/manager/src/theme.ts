// Light, dark, or what the system has. public/theme.js does the same before the first paint.
import { readonly, ref } from 'vue'

export type Theme = 'light' | 'dark' | 'system'

const key = 'sluice-manager:theme'
const system = window.matchMedia('(prefers-color-scheme: dark)')

function stored(): Theme {
  try {
    const value = localStorage.getItem(key)
    return value === 'light' || value === 'dark' ? value : 'system'
  } catch {
    return 'system'
  }
}

const choice = ref<Theme>(stored())
const dark = ref(false)

function apply(): void {
  dark.value = choice.value === 'dark' || (choice.value === 'system' && system.matches)
  document.documentElement.setAttribute('data-kui-theme', dark.value ? 'sluice-night' : 'sluice-day')
}

system.addEventListener('change', apply)
apply()

/** The theme in force, and a way to choose another; the choice is kept in this browser. */
export function useTheme() {
  return {
    choice: readonly(choice),
    dark: readonly(dark),
    choose(theme: Theme): void {
      choice.value = theme
      try {
        if (theme === 'system') {
          localStorage.removeItem(key)
        } else {
          localStorage.setItem(key, theme)
        }
      } catch { /* storage is off: the choice lasts until the page is left */ }
      apply()
    },
  }
}
