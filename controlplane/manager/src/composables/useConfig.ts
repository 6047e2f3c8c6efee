// The configs that every component of the packages wants, for lists, forms and cards.
import { loadInfo, useInfo } from '@/api/info'
import { workspaceSegment } from '@/api/client'
import { config } from '@/config'

export function useBaseConfig() {
  const { info } = useInfo()
  void loadInfo().catch(() => undefined)
  return {
    app: 'kongManager' as const,
    workspace: workspaceSegment(),
    apiBaseUrl: config.adminURL,
    gatewayInfo: { edition: 'community' as const, version: info.value.version ?? '' },
  }
}

/** Lists: the Admin API pages and filters by exact values, and has its own order. */
export function useListConfig() {
  return { ...useBaseConfig(), isExactMatch: true, disableSorting: true }
}
