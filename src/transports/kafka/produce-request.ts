import type { Callback, MessageRecord, Reader, Writer } from '@platformatic/kafka'
import type { KafkaLibrary } from './client.ts'
import { countOf, stamp } from './record-batch.ts'
import { Sequences } from './sequences.ts'

/** As the library's producer calls it. */
export type ProduceArguments = Parameters<KafkaLibrary['produceV11']['api']>
export type Produce = (...args: ProduceArguments) => void

interface OfVersion {
  readonly parseResponse: (correlationId: number, key: number, version: number, reader: Reader) => unknown
}

const apiKey = 0
/** From here on a request has compact lengths and tagged fields. */
const flexibleVersion = 9

/**
 * The request of one producer in place of the library's own: what it is handed are whole batches, one for each partition, which are
 * stamped and sent as they are.
 */
export function batchProduce(kafka: KafkaLibrary): (version: number) => Produce {
  const sequences = new Sequences()
  const checksum = (bytes: Buffer): number =>
    // In this form it is not copied first.
    kafka.crc32c(kafka.Writer.create().append(bytes).dynamicBuffer)

  const stamped = (message: MessageRecord, options: ProduceArguments[4]): Buffer => {
    const batch = message.value
    const { producerId = -1n, producerEpoch = -1, transactionalId } = options ?? {}
    // Without an idempotent producer nobody counts.
    const sequence =
      producerId === -1n
        ? -1
        : sequences.first(`${producerId}/${producerEpoch}`, placeOf(message), batch, countOf(batch))
    stamp(
      batch,
      { producerId, producerEpoch, sequence, isTransactional: transactionalId !== undefined },
      checksum,
    )
    return batch
  }

  return (version) => {
    const isFlexible = version >= flexibleVersion
    const { parseResponse } = (kafka as unknown as Record<string, OfVersion>)[`produceV${version}`]!
    return (connection, acks = 1, timeout = 0, messages, options, done) => {
      const request = (): Writer => {
        const topics = Map.groupBy(messages, ({ topic }) => topic)
        const writer = kafka.Writer.create()
          .appendString(options?.transactionalId, isFlexible)
          .appendInt16(acks)
          .appendInt32(timeout)
          .appendArray(
            [...topics],
            (to, [topic, batches]) => {
              to.appendString(topic, isFlexible).appendArray(
                batches,
                (into, message) => {
                  const batch = stamped(message, options)
                  into.appendInt32(message.partition!)
                  if (isFlexible) into.appendUnsignedVarInt(batch.length + 1)
                  else into.appendInt32(batch.length)
                  into.append(batch)
                },
                isFlexible,
                isFlexible,
              )
            },
            isFlexible,
            isFlexible,
          )
        if (isFlexible) writer.appendTaggedFields()
        if (acks === kafka.ProduceAcks.NO_RESPONSE) writer.context.noResponse = true
        return writer
      }
      const answered = done as Callback<unknown>
      connection.send(apiKey, version, request, parseResponse, isFlexible, isFlexible, answered)
    }
  }
}

function placeOf({ topic, partition }: MessageRecord): string {
  return `${topic}/${partition}`
}
