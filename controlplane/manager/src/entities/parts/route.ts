import '@kong-ui-public/entities-routes/dist/style.css'

export { RouteList as List, RouteForm as Form, RouteConfigCard as Card } from '@kong-ui-public/entities-routes'
