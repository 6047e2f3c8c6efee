// The kinds of entities that have the same five pages: list, create, edit, own page and what is below it. Plugins
// and credentials, whose forms follow from schemas, have pages of their own (pages/plugins, pages/consumers).
import { useInfo } from '@/api/info'
import { lazyParts, type Kind, type Tab } from './kind'

const pluginTab = (scope: string): Tab => ({
  name: 'plugins', title: 'Plugins', component: () => import('@/pages/plugins/List.vue'), props: { scope },
})

const listTab = (name: string, title: string, kind: string, parent: string): Tab => ({
  name, title, component: () => import('@/pages/entity/List.vue'), props: { kindKey: kind, parentKind: parent },
})

export const kinds: Kind[] = [
  {
    key: 'service', path: 'services', collection: 'services', title: 'Gateway Service', titles: 'Gateway Services',
    about: 'A service is an API behind the gateway: where it is, and how it is reached.',
    parts: lazyParts(() => import('./parts/service')),
    formID: 'gatewayServiceId',
    nameOf: (e) => e.name,
    filter: {
      name: { type: 'text' },
      protocol: { type: 'select', values: ['http', 'https', 'grpc', 'grpcs', 'tcp', 'tls', 'tls_passthrough', 'udp', 'ws', 'wss'] },
      host: { type: 'text' },
      port: { type: 'number' },
      path: { type: 'text' },
      enabled: { type: 'select', values: ['true', 'false'] },
    },
    formProps: () => ({ hideTrySampleApiButton: true, isTlsSansSupported: false }),
    tabs: [listTab('routes', 'Routes', 'route', 'service'), pluginTab('service')],
  },
  {
    key: 'route', path: 'routes', collection: 'routes', title: 'Route', titles: 'Routes',
    about: 'A route says which requests are for a service.',
    parts: lazyParts(() => import('./parts/route')),
    formID: 'routeId',
    nameOf: (e) => e.name,
    filter: {
      name: { type: 'text' },
      protocols: { type: 'select', values: ['http', 'https', 'grpc', 'grpcs', 'tcp', 'tls', 'tls_passthrough', 'udp', 'ws', 'wss'] },
      methods: { type: 'text' },
      hosts: { type: 'text' },
      paths: { type: 'text' },
    },
    listConfig: (scope) => ({ serviceId: scope?.kind === 'service' ? scope.id : '', useExpression: false }),
    listProps: () => ({ hasExpressionColumn: useInfo().expressions.value }),
    formProps: (query) => ({ serviceId: query.serviceId ?? '', routeFlavors: { traditional: true, expressions: useInfo().expressions.value } }),
    cardProps: (query) => ({ serviceId: query.serviceId ?? '' }),
    parents: { service: 'serviceId' },
    tabs: [pluginTab('route')],
  },
  {
    key: 'consumer', path: 'consumers', collection: 'consumers', title: 'Consumer', titles: 'Consumers',
    about: 'A consumer is somebody who uses a service, known by credentials.',
    parts: lazyParts(() => import('./parts/consumer')),
    formID: 'consumerId',
    nameOf: (e) => e.username ?? e.custom_id,
    filter: { username: { type: 'text' }, custom_id: { type: 'text' } },
    listConfig: (scope) => scope?.kind === 'consumer-group' ? { consumerGroupId: scope.id, paginatedEndpoint: true } : {},
    tabs: [
      { name: 'credentials', title: 'Credentials', component: () => import('@/pages/consumers/Credentials.vue') },
      listTab('consumer-groups', 'Consumer Groups', 'consumer-group', 'consumer'),
      pluginTab('consumer'),
    ],
  },
  {
    key: 'consumer-group', path: 'consumer-groups', collection: 'consumer_groups', title: 'Consumer Group', titles: 'Consumer Groups',
    about: 'A group of consumers has plugins of its own, such as one rate limit for all of its members.',
    parts: lazyParts(() => import('./parts/consumer-group')),
    formID: 'consumerGroupId',
    nameOf: (e) => e.name ?? (e.consumer_group as { name?: string } | undefined)?.name,
    filter: { name: { type: 'text' } },
    listConfig: (scope) => scope?.kind === 'consumer' ? { consumerId: scope.id, paginatedEndpoint: true } : {},
    tabs: [listTab('consumers', 'Consumers', 'consumer', 'consumer-group'), pluginTab('consumer-group')],
  },
  {
    key: 'upstream', path: 'upstreams', collection: 'upstreams', title: 'Upstream', titles: 'Upstreams',
    about: 'An upstream spreads the requests of services over targets and checks their health.',
    parts: lazyParts(() => import('./parts/upstream')),
    formID: 'upstreamId',
    nameOf: (e) => e.name,
    filter: { name: { type: 'text' }, slots: { type: 'number' } },
    tabs: [{ name: 'targets', title: 'Targets', component: () => import('@/pages/upstreams/Targets.vue') }],
  },
  {
    key: 'certificate', path: 'certificates', collection: 'certificates', title: 'Certificate', titles: 'Certificates',
    about: 'A certificate is what the gateway shows to clients, by the name that they ask for.',
    parts: lazyParts(() => import('./parts/certificate')),
    formID: 'certificateId',
    nameOf: (e) => e.id,
    formConfig: () => ({ sniListRoute: { name: 'sni-list' } }),
    formProps: () => ({ showSnisField: true }),
  },
  {
    key: 'ca-certificate', path: 'ca-certificates', collection: 'ca_certificates', title: 'CA Certificate', titles: 'CA Certificates',
    about: 'A CA certificate is an authority that certificates of clients or upstreams are checked against.',
    parts: lazyParts(() => import('./parts/ca-certificate')),
    formID: 'certificateId',
    nameOf: (e) => e.id,
  },
  {
    key: 'sni', path: 'snis', collection: 'snis', title: 'SNI', titles: 'SNIs',
    about: 'An SNI ties a host name to a certificate.',
    parts: lazyParts(() => import('./parts/sni'), false),
    formID: 'sniId',
    nameOf: (e) => e.name,
    filter: { name: { type: 'text' } },
    afterSave: { name: 'sni-list' },
  },
  {
    key: 'vault', path: 'vaults', collection: 'vaults', title: 'Vault', titles: 'Vaults',
    about: 'A vault keeps secrets out of the configuration: fields refer to them.',
    parts: lazyParts(() => import('./parts/vault')),
    formID: 'vaultId',
    nameOf: (e) => e.prefix ?? e.name,
    filter: { name: { type: 'text' }, prefix: { type: 'text' } },
  },
  {
    key: 'key', path: 'keys', collection: 'keys', title: 'Key', titles: 'Keys',
    about: 'A key is a JWK or a pair in PEM that plugins sign or check with.',
    parts: lazyParts(() => import('./parts/key')),
    formID: 'keyId',
    nameOf: (e) => e.name,
    filter: { name: { type: 'text' } },
    listConfig: (scope) => ({ keySetId: scope?.kind === 'key-set' ? scope.id : '' }),
    formProps: (query) => ({ fixedKeySetId: query.keySetId ?? '' }),
    cardProps: (query) => ({ keySetId: query.keySetId ?? '' }),
    parents: { 'key-set': 'keySetId' },
  },
  {
    key: 'key-set', path: 'key-sets', collection: 'key-sets', title: 'Key Set', titles: 'Key Sets',
    about: 'A key set is a group of keys under one name.',
    parts: lazyParts(() => import('./parts/key-set')),
    formID: 'keySetId',
    nameOf: (e) => e.name,
    filter: { name: { type: 'text' } },
    tabs: [listTab('keys', 'Keys', 'key', 'key-set')],
  },
]

/** The kind with a key; it throws for one that is not there. */
export function kindOf(key: string): Kind {
  const kind = kinds.find((k) => k.key === key)
  if (!kind) {
    throw new Error(`no kind of entities is called ${key}`)
  }
  return kind
}
