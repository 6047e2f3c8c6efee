// What a plugin belongs to, as Kong Manager says it in queries.
import type { LocationQuery } from 'vue-router'
import { queryText } from '@/composables/useBack'

export interface PluginScope {
  /** The kind, as in Kind.key. */
  kind: string
  /** The name of its collection. */
  collection: 'services' | 'routes' | 'consumers' | 'consumer_groups'
  /** The query parameter with its id. */
  parameter: string
}

export const scopes: PluginScope[] = [
  { kind: 'service', collection: 'services', parameter: 'serviceId' },
  { kind: 'route', collection: 'routes', parameter: 'routeId' },
  { kind: 'consumer', collection: 'consumers', parameter: 'consumerId' },
  { kind: 'consumer-group', collection: 'consumer_groups', parameter: 'consumerGroupId' },
]

/** The scope that a query names, with the id. */
export function scopeOf(query: LocationQuery): PluginScope & { id: string } | undefined {
  for (const scope of scopes) {
    const id = queryText(query[scope.parameter])
    if (id) {
      return { ...scope, id }
    }
  }
  return undefined
}
