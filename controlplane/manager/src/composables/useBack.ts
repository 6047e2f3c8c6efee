// Where pages go back to. Kong Manager's lists hand their own address on as ?redirect=, and so do ours.
import { computed } from 'vue'
import { useRoute, useRouter, type RouteLocationRaw } from 'vue-router'

/** A parameter of the query as one text; "" when it is not there. */
export function queryText(value: unknown): string {
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : ''
}

export function useBack() {
  const route = useRoute()
  const router = useRouter()
  // Only paths of this application: an address elsewhere would make the page a trap.
  const redirect = computed(() => {
    const path = queryText(route.query.redirect)
    return /^\/(?![/\\])/.test(path) ? path : ''
  })
  return {
    redirect,
    /** The query that brings somebody back to the present page. */
    here: () => ({ redirect: route.fullPath }),
    /** Where Cancel goes. */
    cancel: (otherwise: RouteLocationRaw): RouteLocationRaw => {
      if (redirect.value) {
        return redirect.value
      }
      const back: unknown = router.options.history.state.back
      return typeof back === 'string' ? back : otherwise
    },
  }
}
