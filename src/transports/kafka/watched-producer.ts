import type { API, Producer } from '@platformatic/kafka'
import type { KafkaLibrary } from './client.ts'
import { clientOptions } from './client.ts'
import { responseIn } from './kafka-error.ts'
import type { KafkaSettings } from './options.ts'
import { ProduceLog } from './produce-log.ts'
import { batchProduce, type Produce, type ProduceArguments } from './produce-request.ts'
import { withWholeMetadata } from './whole-metadata.ts'

/** Pause of the library between two of its own attempts. */
const retryDelayMs = 100

/** An idempotent producer that keeps a log of the one send it has under way. */
export interface WatchedProducer {
  readonly client: Producer
  /** What follows is written down here. */
  readonly watch: (log: ProduceLog) => void
}

type Answered = (error: Error | null, response?: unknown) => void

/**
 * The library goes on trying until our own deadline, with the same producer id and sequence numbers: the broker drops the
 * copies of an attempt whose answer was lost, and one send at a time keeps the numbers in order. (`retries` of 0 or 1 it
 * would take for "endless" all the same.)
 */
export function watchedProducer(
  kafka: KafkaLibrary,
  settings: KafkaSettings,
  applicationName: string,
): WatchedProducer {
  const { ProduceAcks, UserError } = kafka
  let log = new ProduceLog()
  const produce = batchProduce(kafka)

  class Watched extends withWholeMetadata(kafka, kafka.Producer) {
    override [kafka.kGetApi]<Arguments extends unknown[], Response>(
      name: string,
      callback: (error: Error | null, api?: API<Arguments, Response>) => void,
    ): void {
      super[kafka.kGetApi]<Arguments, Response>(name, (error, api) => {
        if (error || name !== 'Produce' || api === undefined) callback(error, api)
        else callback(null, watched(produce(api.version)) as never)
      })
    }
  }

  const watched = (api: Produce): Produce => {
    return (...[connection, acks, timeout, messages, options, done]: ProduceArguments): void => {
      const own = log
      const answered = done as Answered
      if (!own.begin(messages)) {
        answered(new UserError('Given up.'))
        return
      }
      api(connection, acks, timeout, messages, options, (error: Error | null, response?: unknown) => {
        own.answer(response ?? responseIn(error))
        answered(error, response)
      })
    }
  }

  const client: Producer = new Watched({
    ...clientOptions(settings, applicationName),
    idempotent: true,
    acks: ProduceAcks.ALL,
    retries: true,
    retryDelay: retryDelayMs,
  })
  return {
    client,
    watch: (next) => {
      log = next
    },
  }
}
