import { createRouter, createWebHistory } from 'vue-router'
import { loadInfo } from '@/api/info'
import { config } from '@/config'
import { fleetRoutes } from '@/fleet'
import { entityRoutes } from './entity'

declare module 'vue-router' {
  interface RouteMeta {
    /** The kind whose item of the navigation is the current one. */
    entity?: string
    title?: string
  }
}

export const router = createRouter({
  history: createWebHistory(config.path),
  routes: [
    { name: 'overview', path: '/', component: () => import('@/pages/overview/Overview.vue'), meta: { title: 'Overview' } },
    ...entityRoutes,
    ...fleetRoutes,
    { name: 'not-found', path: '/:pathMatch(.*)*', component: () => import('@/pages/NotFound.vue'), meta: { title: 'Not found' } },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
})

// Pages ask what the control plane can do while they are set up, so it must be known before the first one.
router.beforeEach(async () => {
  await loadInfo().catch(() => undefined)
})

router.afterEach((to) => {
  document.title = to.meta.title ? `${to.meta.title} | Sluice Manager` : 'Sluice Manager'
})

// A page whose file is gone was built before the control plane was replaced: the new one has it.
router.onError((error, to) => {
  if (/dynamically imported module|Importing a module script failed/.test(String(error))) {
    window.location.assign(router.resolve(to).href)
  }
})
