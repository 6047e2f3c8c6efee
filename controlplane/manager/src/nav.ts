// The items of the navigation, in Kong Manager's order and under its names, and after them what only Sluice has.
import {
  CloudUploadIcon, DashboardIcon, GroupsIcon, KeyIcon, LockIcon, PeopleIcon, PlugIcon, RouteIcon, SecurityIcon, ServicesIcon, StackIcon,
  VerifiedIcon, WebIcon,
} from '@kong/icons'
import type { Component } from 'vue'
import type { Area } from '@/api/rights'
import { fleetPages } from '@/fleet'

export interface NavItem {
  /** Name of the route that it opens. */
  route: string
  /** RouteMeta.entity of the pages that it stands for; absent for the overview. */
  entity?: string
  name: string
  icon: Component
  group?: 'fleet'
  /** What a token must be allowed to read to see the item. */
  area?: Area
}

export const navItems: NavItem[] = [
  { route: 'overview', name: 'Overview', icon: DashboardIcon },
  { route: 'service-list', entity: 'service', name: 'Gateway Services', icon: ServicesIcon },
  { route: 'route-list', entity: 'route', name: 'Routes', icon: RouteIcon },
  { route: 'consumer-list', entity: 'consumer', name: 'Consumers', icon: PeopleIcon },
  { route: 'consumer-group-list', entity: 'consumer-group', name: 'Consumer Groups', icon: GroupsIcon },
  { route: 'plugin-list', entity: 'plugin', name: 'Plugins', icon: PlugIcon },
  { route: 'upstream-list', entity: 'upstream', name: 'Upstreams', icon: CloudUploadIcon },
  { route: 'certificate-list', entity: 'certificate', name: 'Certificates', icon: SecurityIcon },
  { route: 'ca-certificate-list', entity: 'ca-certificate', name: 'CA Certificates', icon: VerifiedIcon },
  { route: 'sni-list', entity: 'sni', name: 'SNIs', icon: WebIcon },
  { route: 'vault-list', entity: 'vault', name: 'Vaults', icon: LockIcon },
  { route: 'key-list', entity: 'key', name: 'Keys', icon: KeyIcon },
  { route: 'key-set-list', entity: 'key-set', name: 'Key Sets', icon: StackIcon },
  ...fleetPages.map((page) => ({ route: page.name, entity: page.name, name: page.title, icon: page.icon, group: 'fleet' as const, area: page.area })),
]
