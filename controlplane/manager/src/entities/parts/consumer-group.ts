import '@kong-ui-public/entities-consumer-groups/dist/style.css'

export { ConsumerGroupList as List, ConsumerGroupForm as Form, ConsumerGroupConfigCard as Card } from '@kong-ui-public/entities-consumer-groups'
