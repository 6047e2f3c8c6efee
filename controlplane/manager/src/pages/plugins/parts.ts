// The components of the plugins' package, loaded by the first page that shows one.
import { defineAsyncComponent } from 'vue'

const load = () => import('@/entities/parts/plugin')

export const PluginList = defineAsyncComponent(() => load().then((m) => m.PluginList))
export const PluginSelect = defineAsyncComponent(() => load().then((m) => m.PluginSelect))
export const PluginForm = defineAsyncComponent(() => load().then((m) => m.PluginForm))
export const PluginConfigCard = defineAsyncComponent(() => load().then((m) => m.PluginConfigCard))
