import type { Proxy } from '../proxy.ts'
import type { Fault } from './fault.ts'
import { linkFault } from './link.ts'

/** Every frame arrives in pieces, by default of a byte each. */
export function slicesFault(link: string, proxy: Proxy, bytes = 1): Fault {
  return linkFault('slices', link, proxy, () => {
    proxy.slice(bytes)
  })
}
