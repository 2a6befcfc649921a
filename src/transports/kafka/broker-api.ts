import type { Connection, Consumer } from '@platformatic/kafka'
import type { KafkaLibrary } from './client.ts'

/** A request of the protocol, in the newest version that broker and library have in common. */
export type BrokerApi<Arguments extends unknown[], Response> = {
  readonly version: number
  async(connection: Connection, ...args: Arguments): Promise<Response>
}

/**
 * A request that the library's own methods send otherwise than it is right here: with retries, or in the name of another
 * generation, or with an answer that is filtered.
 */
export function findApi<Arguments extends unknown[], Response>(
  kafka: KafkaLibrary,
  client: Consumer,
  name: string,
): Promise<BrokerApi<Arguments, Response>> {
  return new Promise((resolve, reject) => {
    client[kafka.kGetApi]<Arguments, Response>(name, (error, found) => {
      if (error || found === undefined) reject(error ?? new Error(`${name} is not known.`))
      else resolve(found)
    })
  })
}
