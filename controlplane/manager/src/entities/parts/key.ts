import '@kong-ui-public/entities-keys/dist/style.css'

export { KeyList as List, KeyForm as Form, KeyConfigCard as Card } from '@kong-ui-public/entities-keys'
