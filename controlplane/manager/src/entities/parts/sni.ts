import '@kong-ui-public/entities-snis/dist/style.css'

export { SniList as List, SniForm as Form } from '@kong-ui-public/entities-snis'
