// The routes of the kinds of entities, with Kong Manager's paths and names.
import type { RouteRecordRaw } from 'vue-router'
import { kinds } from '@/entities'
import type { Kind } from '@/entities/kind'

function routesOf(kind: Kind): RouteRecordRaw[] {
  const props = { kindKey: kind.key }
  const meta = (title: string) => ({ entity: kind.key, title })
  const routes: RouteRecordRaw[] = [
    { name: `${kind.key}-list`, path: `/${kind.path}`, component: () => import('@/pages/entity/List.vue'), props, meta: meta(kind.titles) },
    { name: `${kind.key}-create`, path: `/${kind.path}/create`, component: () => import('@/pages/entity/Form.vue'), props, meta: meta(`New ${kind.title}`) },
    { name: `${kind.key}-edit`, path: `/${kind.path}/:id/edit`, component: () => import('@/pages/entity/Form.vue'), props, meta: meta(`Edit ${kind.title}`) },
  ]
  if (kind.parts.Card) {
    routes.push({
      name: `${kind.key}-detail`,
      path: `/${kind.path}/:id`,
      component: () => import('@/pages/entity/Detail.vue'),
      props,
      meta: meta(kind.title),
      children: (kind.tabs ?? []).map((tab) => ({
        name: `${kind.key}-detail-${tab.name}`,
        path: tab.name,
        component: tab.component,
        props: tab.props ?? {},
        meta: meta(`${kind.title} ${tab.title}`),
      })),
    })
  }
  return routes
}

export const entityRoutes: RouteRecordRaw[] = [
  ...kinds.flatMap(routesOf),
  {
    name: 'consumer-detail-credentials-create',
    path: '/consumers/:id/credentials/:pluginType/create',
    component: () => import('@/pages/consumers/CredentialForm.vue'),
    meta: { entity: 'consumer', title: 'New Credential' },
  },
  {
    name: 'consumer-detail-credentials-edit',
    path: '/consumers/:id/credentials/:pluginType/:credentialId/edit',
    component: () => import('@/pages/consumers/CredentialForm.vue'),
    meta: { entity: 'consumer', title: 'Edit Credential' },
  },
  { name: 'plugin-list', path: '/plugins', component: () => import('@/pages/plugins/List.vue'), meta: { entity: 'plugin', title: 'Plugins' } },
  { name: 'plugin-select', path: '/plugins/select', component: () => import('@/pages/plugins/Select.vue'), meta: { entity: 'plugin', title: 'Select Plugin' } },
  { name: 'plugin-create', path: '/plugins/:pluginType/create', component: () => import('@/pages/plugins/Form.vue'), meta: { entity: 'plugin', title: 'New Plugin' } },
  { name: 'plugin-edit', path: '/plugins/:pluginType/:id/edit', component: () => import('@/pages/plugins/Form.vue'), meta: { entity: 'plugin', title: 'Edit Plugin' } },
  { name: 'plugin-detail', path: '/plugins/:pluginType/:id', component: () => import('@/pages/plugins/Detail.vue'), meta: { entity: 'plugin', title: 'Plugin' } },
]
