// Messages that come and go, and what lists say when something was copied.
import { ToastManager } from '@kong/kongponents'

let manager: ToastManager | undefined

export function useNotify() {
  const open = (appearance: 'success' | 'danger', message: string) => {
    manager ??= new ToastManager()
    manager.open({ appearance, message })
  }
  return {
    done: (message: string) => open('success', message),
    failed: (message: string) => open('danger', message),
    copied: (event: { message: string }) => open('success', event.message),
    notCopied: (event: { message: string }) => open('danger', event.message),
  }
}
