import '@kong-ui-public/entities-key-sets/dist/style.css'

export { KeySetList as List, KeySetForm as Form, KeySetConfigCard as Card } from '@kong-ui-public/entities-key-sets'
