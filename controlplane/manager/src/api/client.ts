// The one way to the Admin API: address, workspace and token are put in here, for our pages and for the
// packages' own clients alike, because all of them make their clients from axios' defaults.
import axios, { AxiosError, type AxiosRequestConfig, type InternalAxiosRequestConfig } from 'axios'
import { readonly, ref } from 'vue'
import { config } from '@/config'
import { clearFieldErrors, showFieldErrors } from '@/fieldErrors'

/** The workspace that applies when none is chosen. */
export const defaultWorkspace = 'default'

const workspaceKey = 'sluice-manager:workspace'
const tokenKey = 'sluice-manager:token'

function read(storage: () => Storage, key: string): string {
  try {
    return storage().getItem(key) ?? ''
  } catch {
    return ''
  }
}

function write(storage: () => Storage, key: string, value: string): void {
  try {
    if (value) {
      storage().setItem(key, value)
    } else {
      storage().removeItem(key)
    }
  } catch { /* storage is off: the value lasts until the page is left */ }
}

const workspace = ref(read(() => localStorage, workspaceKey) || defaultWorkspace)
// A token lasts as long as the tab, so that it is nowhere on disk.
const token = ref(read(() => sessionStorage, tokenKey))
/** Whether the last answer was that a token is needed, or that the one given is not good. */
const locked = ref(false)

/** The chosen workspace. Whoever chooses another should load the page anew: lists keep what they have. */
export function useWorkspace() {
  return {
    workspace: readonly(workspace),
    choose(name: string): void {
      workspace.value = name || defaultWorkspace
      write(() => localStorage, workspaceKey, workspace.value === defaultWorkspace ? '' : workspace.value)
    },
  }
}

/** The Admin token of this tab, and whether the Admin API asks for one. */
export function useToken() {
  return {
    token: readonly(token),
    locked: readonly(locked),
    set(value: string): void {
      token.value = value
      locked.value = false
      write(() => sessionStorage, tokenKey, value)
    },
    /** Forgets the token, and asks for another. */
    forget(): void {
      token.value = ''
      locked.value = true
      write(() => sessionStorage, tokenKey, '')
    },
  }
}

/** The workspace as the packages want it: empty for the default one, which needs no path segment. */
export function workspaceSegment(): string {
  return workspace.value === defaultWorkspace ? '' : workspace.value
}

const send = axios.getAdapter(['xhr', 'fetch'])

axios.defaults.adapter = async (request: InternalAxiosRequestConfig) => {
  if (token.value && (request.url ?? '').startsWith(config.adminURL)) {
    request.headers.set('Authorization', `Bearer ${token.value}`)
  }
  const writes = request.method !== 'get' && (request.url ?? '').startsWith(config.adminURL)
  try {
    const answer = await send(request)
    if (writes) {
      clearFieldErrors()
    }
    return answer
  } catch (error) {
    if (error instanceof AxiosError && error.response?.status === 401) {
      locked.value = true
    }
    if (writes && error instanceof AxiosError) {
      showFieldErrors(bodyOf(error))
    }
    throw error
  }
}

/** The body of a failed answer; adapters give it as text. */
function bodyOf(error: AxiosError): unknown {
  const data: unknown = error.response?.data
  if (typeof data !== 'string') {
    return data
  }
  try {
    return JSON.parse(data)
  } catch {
    return data
  }
}

const client = axios.create()

/** The address of a path of the Admin API, such as "services/a", in the chosen workspace. */
export function adminURL(path: string, options: { global?: boolean } = {}): string {
  const segment = options.global ? '' : workspaceSegment()
  return [config.adminURL, segment, path.replace(/^\/+/, '')].filter(Boolean).join('/')
}

export interface AdminRequest extends Omit<AxiosRequestConfig, 'url' | 'method' | 'data' | 'baseURL'> {
  /** Paths that belong to no workspace, such as "clustering/data-planes". */
  global?: boolean
}

async function call<T>(method: string, path: string, data: unknown, request: AdminRequest = {}): Promise<T> {
  const { global, ...rest } = request
  const answer = await client.request<T>({ ...rest, method, data, url: adminURL(path, { global }) })
  return answer.data
}

/** Calls of the Admin API that return the body, and throw an AxiosError for every status but 2xx. */
export const adminAPI = {
  get: <T>(path: string, request?: AdminRequest) => call<T>('GET', path, undefined, request),
  post: <T>(path: string, data?: unknown, request?: AdminRequest) => call<T>('POST', path, data, request),
  put: <T>(path: string, data?: unknown, request?: AdminRequest) => call<T>('PUT', path, data, request),
  patch: <T>(path: string, data?: unknown, request?: AdminRequest) => call<T>('PATCH', path, data, request),
  delete: <T>(path: string, request?: AdminRequest) => call<T>('DELETE', path, undefined, request),
}

/** The sentence to show for an error: the Admin API's own where there is one. */
export function messageOf(error: unknown): string {
  if (error instanceof AxiosError) {
    const body: unknown = error.response?.data
    if (body && typeof body === 'object' && 'message' in body && typeof body.message === 'string') {
      return body.message
    }
    if (!error.response) {
      return `The Admin API at ${config.adminURL} did not answer.`
    }
  }
  return error instanceof Error ? error.message : String(error)
}
