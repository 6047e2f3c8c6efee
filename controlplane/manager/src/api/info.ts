// What GET / says of the control plane, read once and shared.
import { computed, readonly, shallowRef } from 'vue'
import { adminAPI } from './client'

export interface Info {
  version?: string
  edition?: string
  hostname?: string
  node_id?: string
  configuration?: {
    router_flavor?: string
    database?: string
    [key: string]: unknown
  }
  plugins?: {
    available_on_server?: Record<string, unknown>
    enabled_in_cluster?: string[]
  }
}

const info = shallowRef<Info>({})
let pending: Promise<Info> | undefined

/** Reads GET / when it was not read yet, or again with force. */
export function loadInfo(force = false): Promise<Info> {
  if (!pending || force) {
    const reading = adminAPI.get<Info>('', { global: true }).then((value) => {
      info.value = value
      return value
    })
    reading.catch(() => {
      if (pending === reading) {
        pending = undefined
      }
    })
    pending = reading
  }
  return pending
}

export function useInfo() {
  return {
    info: readonly(info),
    expressions: computed(() => info.value.configuration?.router_flavor === 'expressions'),
  }
}
