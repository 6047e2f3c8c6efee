import '@kong-ui-public/entities-upstreams-targets/dist/style.css'

export { UpstreamsList as List, UpstreamsForm as Form, UpstreamsConfigCard as Card, TargetsList } from '@kong-ui-public/entities-upstreams-targets'
