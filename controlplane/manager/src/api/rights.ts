// What the token of this tab may do, so that no page offers what the Admin API would refuse.
import { computed, shallowRef, watch, type ComputedRef } from 'vue'
import { adminAPI, useToken } from './client'
import { loadInfo } from './info'

export type Area = 'entities' | 'configuration' | 'operations' | 'workspaces' | 'security'
export type Action = 'read' | 'create' | 'update' | 'delete'

type Rights = Partial<Record<Area, Action[]>>

const { token } = useToken()
const known = shallowRef<{ token: string, rights: Rights | undefined }>()
let pending: { token: string, rights: Promise<Rights | undefined> } | undefined

// Undefined where the Admin API does not tell: everything is offered then, and refused where it must be.
async function ask(): Promise<Rights | undefined> {
  try {
    const [{ may }, info] = await Promise.all([adminAPI.get<{ may: Rights }>('whoami'), loadInfo()])
    // Without a database entities come from a document alone.
    return info.configuration?.database === 'off' ? { ...may, entities: ['read'] } : may
  } catch {
    return undefined
  }
}

function load(): Promise<Rights | undefined> {
  if (pending?.token !== token.value) {
    const asked = { token: token.value, rights: ask() }
    pending = asked
    void asked.rights.then((rights) => {
      known.value = { token: asked.token, rights }
    })
  }
  return pending!.rights
}

// Another token may do other things.
watch(token, () => { void load() })

/** Tells whether an action is allowed, once that is known. */
export async function may(area: Area, action: Action): Promise<boolean> {
  const rights = await load()
  return !rights || !!rights[area]?.includes(action)
}

/** The same for templates; false until it is known. */
export function useMay(area: Area, action: Action): ComputedRef<boolean> {
  void load()
  return computed(() => {
    const rights = known.value
    return !!rights && rights.token === token.value && (!rights.rights || !!rights.rights[area]?.includes(action))
  })
}

/** What the packages' lists ask about entities. */
export const entityRights = {
  canCreate: () => may('entities', 'create'),
  canDelete: () => may('entities', 'delete'),
  canEdit: () => may('entities', 'update'),
  canRetrieve: () => may('entities', 'read'),
}
