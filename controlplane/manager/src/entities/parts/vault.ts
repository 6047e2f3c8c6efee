import '@kong-ui-public/entities-vaults/dist/style.css'

export { VaultList as List, VaultForm as Form, VaultConfigCard as Card } from '@kong-ui-public/entities-vaults'
