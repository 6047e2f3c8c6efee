import '@kong-ui-public/entities-gateway-services/dist/style.css'

export { GatewayServiceList as List, GatewayServiceForm as Form, GatewayServiceConfigCard as Card } from '@kong-ui-public/entities-gateway-services'
