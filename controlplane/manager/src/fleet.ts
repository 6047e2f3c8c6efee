// The pages that only Sluice has: their routes and their items in the navigation, one entry each.
import { DeviceHubIcon, HistoryIcon, KeyIcon, RegexIcon, SwapIcon, VitalsIcon } from '@kong/icons'
import type { Component } from 'vue'
import type { Area } from '@/api/rights'
import type { RouteRecordRaw } from 'vue-router'

export interface FleetPage {
  /** Name of the route, its path and the key of its item. */
  name: string
  title: string
  icon: Component
  component: () => Promise<{ default: Component }>
  children?: RouteRecordRaw[]
  /** What a token must be allowed to read to see the page. */
  area?: Area
}

export const fleetPages: FleetPage[] = [
  { name: 'data-planes', title: 'Data Planes', icon: DeviceHubIcon, component: () => import('@/pages/data-planes/DataPlanes.vue') },
  { name: 'health', title: 'Health', icon: VitalsIcon, component: () => import('@/pages/health/Health.vue') },
  { name: 'history', title: 'History', icon: HistoryIcon, component: () => import('@/pages/history/History.vue') },
  { name: 'explain', title: 'Explain', icon: RegexIcon, component: () => import('@/pages/explain/Explain.vue') },
  { name: 'import-export', title: 'Import and Export', icon: SwapIcon, component: () => import('@/pages/import-export/ImportExport.vue') },
  { name: 'admin-tokens', title: 'Admin Tokens', icon: KeyIcon, component: () => import('@/pages/admin-tokens/AdminTokens.vue'), area: 'security' },
]

export const fleetRoutes: RouteRecordRaw[] = fleetPages.map((page) => ({
  name: page.name,
  path: `/${page.name}`,
  component: page.component,
  meta: { entity: page.name, title: page.title },
  ...(page.children ? { children: page.children } : {}),
}) as RouteRecordRaw)
