// Components that come with a page of their own package: something is said while they load.
import { defineAsyncComponent, type Component } from 'vue'
import PageLoading from '@/components/PageLoading.vue'

export function lazy<T extends Component>(loader: () => Promise<T>): T {
  return defineAsyncComponent({ loader: loader as () => Promise<never>, loadingComponent: PageLoading, delay: 0 }) as T
}
