// Asks again and again while the page is looked at.
import { onMounted, onUnmounted, ref, shallowRef, type Ref, type ShallowRef } from 'vue'
import { messageOf } from '@/api/client'

export interface Polling<T> {
  /** The last answer, undefined before the first. */
  data: ShallowRef<T | undefined>
  /** Why the last question failed, empty when it did not. What was known stays. */
  error: Ref<string>
  /** Asks at once. */
  refresh: () => Promise<void>
}

/** Calls ask every interval milliseconds, one at a time, and not while the page is hidden. */
export function usePolling<T>(ask: () => Promise<T>, interval: number): Polling<T> {
  const data = shallowRef<T>()
  const error = ref('')
  let timer: number | undefined
  let gone = false
  let round = 0

  const refresh = async () => {
    window.clearTimeout(timer)
    const mine = ++round
    try {
      const answer = await ask()
      if (mine === round) {
        data.value = answer
        error.value = ''
      }
    } catch (failure) {
      if (mine === round) {
        error.value = messageOf(failure)
      }
    }
    if (mine === round) {
      later()
    }
  }
  const later = () => {
    window.clearTimeout(timer)
    if (!gone && !document.hidden) {
      timer = window.setTimeout(() => void refresh(), interval)
    }
  }
  const seen = () => {
    if (document.hidden) {
      window.clearTimeout(timer)
    } else {
      void refresh()
    }
  }
  onMounted(() => {
    document.addEventListener('visibilitychange', seen)
    void refresh()
  })
  onUnmounted(() => {
    gone = true
    round++
    window.clearTimeout(timer)
    document.removeEventListener('visibilitychange', seen)
  })
  return { data, error, refresh }
}
