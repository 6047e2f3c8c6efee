// The pages that only Sluice has: their routes and their items in the navigation, one entry each.
import type { Component } from 'vue'
import type { RouteRecordRaw } from 'vue-router'

export interface FleetPage {
  /** Name of the route, its path and the key of its item. */
  name: string
  title: string
  icon: Component
  component: () => Promise<{ default: Component }>
  children?: RouteRecordRaw[]
}

export const fleetPages: FleetPage[] = []

export const fleetRoutes: RouteRecordRaw[] = fleetPages.map((page) => ({
  name: page.name,
  path: `/${page.name}`,
  component: page.component,
  meta: { entity: page.name, title: page.title },
  ...(page.children ? { children: page.children } : {}),
}) as RouteRecordRaw)
