import type { Proxy } from '../proxy.ts'
import type { Fault } from './fault.ts'
import { linkFault } from './link.ts'

/** Each chunk arrives so much later, both ways. */
export function latencyFault(link: string, proxy: Proxy, ms: number): Fault {
  return linkFault('latency', link, proxy, () => {
    proxy.latency(ms)
  })
}
