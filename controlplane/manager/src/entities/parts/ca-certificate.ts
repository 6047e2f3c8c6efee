import '@kong-ui-public/entities-certificates/dist/style.css'

export { CACertificateList as List, CACertificateForm as Form, CACertificateConfigCard as Card } from '@kong-ui-public/entities-certificates'
