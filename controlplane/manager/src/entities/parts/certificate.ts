import '@kong-ui-public/entities-certificates/dist/style.css'

export { CertificateList as List, CertificateForm as Form, CertificateConfigCard as Card } from '@kong-ui-public/entities-certificates'
