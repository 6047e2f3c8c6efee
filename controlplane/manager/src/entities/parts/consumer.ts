import '@kong-ui-public/entities-consumers/dist/style.css'

export { ConsumerList as List, ConsumerForm as Form, ConsumerConfigCard as Card } from '@kong-ui-public/entities-consumers'
