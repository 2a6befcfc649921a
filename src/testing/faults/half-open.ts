import type { Proxy } from '../proxy.ts'
import type { Fault } from './fault.ts'
import { linkFault } from './link.ts'

/** The server's ends of all connections are gone, and the clients' are not told: what they send goes nowhere. */
export function halfOpenFault(link: string, proxy: Proxy): Fault {
  return linkFault('half open', link, proxy, () => {
    proxy.halfOpen()
  })
}
