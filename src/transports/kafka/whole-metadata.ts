import type { Base, ClusterMetadata, MetadataOptions } from '@platformatic/kafka'
import type { KafkaLibrary } from './client.ts'

const mostLooks = 3

/**
 * A client of the library, with metadata that has each topic it was asked for. The library asks the broker for those alone whose entry is
 * old, and takes the others from what it knows when the answer comes: where that was cleared meanwhile, as after an error on another
 * topic, they are missing, and a send of several topics, or a look for offsets, ends the process by a TypeError that nobody can catch.
 */
export function withWholeMetadata<Client>(kafka: KafkaLibrary, client: Client): Client {
  type Callback = (error: Error | null, metadata?: ClusterMetadata) => void

  class Whole extends (client as typeof Base) {
    override [kafka.kMetadata](options: MetadataOptions, callback: Callback): void {
      const look = (looks: number): void => {
        super[kafka.kMetadata](options, (error: Error | null, metadata?: ClusterMetadata) => {
          if (error || isWhole(options, metadata)) callback(error, metadata)
          else if (looks < mostLooks) look(looks + 1)
          else callback(new kafka.UserError('What was known of its topics was cleared again and again.'))
        })
      }
      look(1)
    }
  }
  return Whole as Client
}

function isWhole({ topics = [] }: MetadataOptions, metadata: ClusterMetadata | undefined): boolean {
  return topics.every((topic) => metadata?.topics.get(topic) !== undefined)
}
