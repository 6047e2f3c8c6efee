import '@kong/design-tokens/tokens/css/custom-properties.css'
import '@kong/kongponents/dist/style.css'
import '@kong-ui-public/app-layout/dist/style.css'
import '@kong-ui-public/entities-shared/dist/style.css'
import './styles/base.css'
import './styles/theme.css'

import Kongponents from '@kong/kongponents'
import { createApp } from 'vue'
import App from './App.vue'
import { keepRepaired } from './repair'
import { router } from './router'

keepRepaired()
createApp(App).use(Kongponents).use(router).mount('#app')
