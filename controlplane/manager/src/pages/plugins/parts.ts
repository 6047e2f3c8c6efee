// The components of the plugins' package, loaded by the first page that shows one.
import { lazy } from '@/lazy'

const load = () => import('@/entities/parts/plugin')

export const PluginList = lazy(() => load().then((m) => m.PluginList))
export const PluginSelect = lazy(() => load().then((m) => m.PluginSelect))
export const PluginConfigCard = lazy(() => load().then((m) => m.PluginConfigCard))

/** Forms may show code, so the editor comes with them. */
export const PluginForm = lazy(async () => {
  const [parts] = await Promise.all([load(), import('@/editor/lazy').then((m) => m.loadEditor())])
  return parts.PluginForm
})
