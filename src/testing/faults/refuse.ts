import type { Proxy } from '../proxy.ts'
import type { Fault } from './fault.ts'
import { linkFault } from './link.ts'

/** Every connection is reset and new ones are refused, as where nobody listens. */
export function refuseFault(link: string, proxy: Proxy): Fault {
  return linkFault('refuse', link, proxy, () => {
    proxy.refuse()
    proxy.reset()
  })
}
