import type { Proxy } from '../proxy.ts'
import type { Fault } from './fault.ts'
import { linkFault } from './link.ts'

/**
 * Nothing passes any more, either way, and nobody is told. On the link to one of two peers alone it is the asymmetric partition:
 * a relay that sees the broker and not the database, or the reverse.
 */
export function blackHoleFault(link: string, proxy: Proxy): Fault {
  return linkFault('black hole', link, proxy, () => {
    proxy.blackHole()
  })
}
