import type { API, Producer } from '@platformatic/kafka'
import { clientOptions, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'
import { batchProduce } from './produce-request.ts'
import type { TransactionLog, TransactionStep } from './transaction-log.ts'
import { withWholeMetadata } from './whole-metadata.ts'

/**
 * Short: after each commit the coordinator answers CONCURRENT_TRANSACTIONS for a moment, and a transaction of a thousand
 * messages takes less than the library's default pause.
 */
const retryDelayMs = 10

/** A transactional producer whose requests are written down. */
export interface TransactionalProducer {
  readonly client: Producer
  /** What follows is written down here. */
  readonly watch: (log: TransactionLog) => void
}

type Answered = (error: Error | null, response?: unknown) => void
type Request = (...args: unknown[]) => void

/** Of the library's own requests; `TxnOffsetCommit` is ours. */
const steps: readonly string[] = [
  'AddPartitionsToTxn',
  'AddOffsetsToTxn',
  'Produce',
  'EndTxn',
] satisfies TransactionStep[]

/** The library goes on trying until our own deadline; a sealed log ends that. */
export function transactionalProducer(
  kafka: KafkaLibrary,
  settings: KafkaSettings,
  applicationName: string,
  transactionalId: string,
): TransactionalProducer {
  const { ProduceAcks, UserError } = kafka
  let log: TransactionLog | undefined
  const produce = batchProduce(kafka)

  class Watched extends withWholeMetadata(kafka, kafka.Producer) {
    override [kafka.kGetApi]<Arguments extends unknown[], Response>(
      name: string,
      callback: (error: Error | null, api?: API<Arguments, Response>) => void,
    ): void {
      super[kafka.kGetApi]<Arguments, Response>(name, (error, api) => {
        if (error || !steps.includes(name) || api === undefined) callback(error, api)
        else callback(null, watched(name as TransactionStep, ours(name, api as never)) as never)
      })
    }
  }

  const ours = (name: string, api: Request & { readonly version: number }): Request => {
    if (name === 'Produce') return produce(api.version) as never
    // The library takes the newest version there is, and from version 4 on this request is one of brokers among themselves: where
    // there are access rules it asks for the right to act as one. Version 3 is called in the same way.
    return name === 'AddPartitionsToTxn' ? (kafka.addPartitionsToTxnV3.api as never) : api
  }

  const watched = (step: TransactionStep, api: Request) => {
    return (...args: unknown[]): void => {
      const own = log
      const answered = args.pop() as Answered
      const isCommit = step === 'EndTxn' && args.at(-1) === true
      if (own?.begin(step, isCommit) !== true) {
        answered(new UserError('Given up.'))
        return
      }
      api(...args, (error: Error | null, response?: unknown) => {
        own.answer(step, isCommit, error, response)
        answered(error, response)
      })
    }
  }

  const client: Producer = new Watched({
    ...clientOptions(settings, applicationName),
    transactionalId,
    idempotent: true,
    acks: ProduceAcks.ALL,
    // None yet: with the library's default, 0 and 0, a restarted process is refused as fenced.
    producerId: -1n,
    producerEpoch: -1,
    // Also `transaction.timeout.ms`.
    timeout: settings.transactionTimeoutMs,
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
