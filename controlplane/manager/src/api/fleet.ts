// What the control plane knows of the nodes and their traffic.
import { adminAPI, useWorkspace, defaultWorkspace } from './client'

export interface Latency { mean: number, p50: number, p90: number, p99: number }

export interface Stats {
  requests: number
  rate: number
  statuses: Record<'1xx' | '2xx' | '3xx' | '4xx' | '5xx', number>
  codes: Record<string, number>
  error_rate: number
  upstream_errors: number
  bytes_in: number
  bytes_out: number
  latency: { total: Latency | null, upstream: Latency | null, gateway: Latency | null }
}

type Counts = number[]
type Measures = Array<number | null>

export interface Points {
  rate: Counts
  '1xx': Counts
  '2xx': Counts
  '3xx': Counts
  '4xx': Counts
  '5xx': Counts
  p50: Measures
  p90: Measures
  p99: Measures
  gateway_p99: Measures
}

export interface TrafficGroup extends Stats {
  id: string | null
  name: string | null
  workspace?: string | null
  service?: { id: string, name: string | null } | null
  rest?: boolean
  points?: Points
}

export interface Traffic {
  window: number
  step: number
  times: number[]
  total: Stats & { points: Points }
  services: TrafficGroup[]
  routes: TrafficGroup[]
  nodes: TrafficGroup[]
  unmatched: number
  lost: number
}

export interface TrafficQuery { window: number, service?: string, route?: string, node?: string, top?: number }

/** What went through the nodes: of the chosen workspace, or all of it in the default one. */
export const traffic = (query: TrafficQuery): Promise<Traffic> => {
  const { workspace } = useWorkspace()
  return adminAPI.get<Traffic>('clustering/traffic', { global: workspace.value === defaultWorkspace, params: query })
}

export interface Position { lineage: string, generation: number, revision: number, root: string }

export interface Refusal { kind: string, id: string, name?: string, field?: string, message: string }

export interface DataPlane {
  id: string
  hostname: string
  ip: string
  version: string
  sluice_version: string
  labels: Record<string, string> | null
  connected: boolean
  state: string
  sync_status: string
  reason: string | null
  lag: number
  draining?: boolean
  /** It has a certificate of its own, which can be revoked. */
  joined?: boolean
  position: Position | null
  persisted: Position | null
  source: string | null
  refused: { position?: Position, revision?: number, errors?: Refusal[] } | null
  left_out: Refusal[] | null
  cert_details: { expiry_timestamp: number } | null
  created_at: number
  last_seen: number
  applied_at: number | null
  apply_time_us: number | null
  [more: string]: unknown
}

/** All data planes that are known, connected or not. */
export async function dataPlanes(): Promise<DataPlane[]> {
  const all: DataPlane[] = []
  let offset: string | undefined
  do {
    const page = await adminAPI.get<{ data: DataPlane[], offset?: string | null }>('clustering/data-planes', { global: true, params: { size: 1000, offset } })
    all.push(...page.data)
    offset = page.offset ?? undefined
  } while (offset)
  return all
}
