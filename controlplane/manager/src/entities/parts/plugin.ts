import './zod'
import '@kong-ui-public/entities-plugins/dist/style.css'
import '@kong-ui-public/forms/dist/style.css'

export { PluginList, PluginSelect, PluginForm, PluginConfigCard } from '@kong-ui-public/entities-plugins'
