import type { Proxy } from '../proxy.ts'
import type { ActiveFault, Fault } from './fault.ts'

/** A fault of a network link, whose proxy carries what goes over it; it has struck where a connection was there to be hit. */
export function linkFault(
  what: string,
  link: string,
  proxy: Proxy,
  begin: () => void,
  hasStruck: () => boolean = () => true,
): Fault {
  return {
    name: `${what} ${link}`,
    async inject(): Promise<ActiveFault> {
      const [connections, accepted] = [proxy.connections, proxy.accepted]
      begin()
      return {
        get hasStruck() {
          return hasStruck() && (connections > 0 || proxy.accepted > accepted)
        },
        heal: () => proxy.heal(),
      }
    },
  }
}
