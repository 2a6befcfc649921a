import type { Base } from '@platformatic/kafka'
import { withDeadline } from '../../kernel/deadline.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'

const closeMs = 1000

/** Feels whether a broker answers, over connections that carry nothing else. */
export class KafkaPulse {
  readonly #make: () => Base
  #client: Base | undefined

  constructor(kafka: KafkaLibrary, settings: KafkaSettings, applicationName: string) {
    this.#make = () => new kafka.Base({ ...clientOptions(settings, applicationName), retries: 0 })
  }

  /** A connection that did not answer is given up: the next time another one is asked. */
  async feel(timeoutMs: number): Promise<void> {
    const client = (this.#client ??= this.#make())
    try {
      await withDeadline(client.metadata({ topics: [], forceUpdate: true, retries: 0 }), timeoutMs, 'Kafka')
    } catch (error) {
      if (this.#client === client) await this.close()
      throw error
    }
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    if (client === undefined) return
    await withDeadline(client.close(), closeMs, 'Closing a Kafka client').catch(() => {})
  }
}
