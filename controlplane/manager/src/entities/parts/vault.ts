import '@kong-ui-public/entities-vaults/dist/style.css'

export { VaultList as List, VaultConfigCard as Card } from '@kong-ui-public/entities-vaults'
export { default as Form } from '@/pages/vaults/VaultForm.vue'
