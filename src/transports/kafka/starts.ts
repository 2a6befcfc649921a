import type { ClusterMetadata, Consumer, GroupAssignment } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import type { SubscribeRequest } from '../../ports/transport.ts'
import { findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import type { Coordinator } from './coordinator.ts'
import { hasKafkaError } from './kafka-error.ts'
import { streamName } from './record.ts'

const earliest = -2n
const unstablePauseMs = 50

export interface Start {
  readonly topic: string
  readonly partition: number
  /** The offset that is read first. */
  readonly next: bigint
  /** By `startAt`: whoever keeps it has the effects of all that lies below. */
  readonly isGiven: boolean
}

export interface StartsOptions {
  readonly kafka: KafkaLibrary
  readonly client: Consumer
  readonly coordinator: Coordinator
  readonly assigned: readonly GroupAssignment[]
  readonly startAt: SubscribeRequest['startAt'] | undefined
}

/**
 * Where the streams of an assignment start: where `startAt` says, else at what the group has committed, else at what the log
 * has first. Rejects with what `startAt` rejects with.
 */
export async function findStarts(
  options: StartsOptions,
  { id: cluster, topics }: ClusterMetadata,
  signal: AbortSignal,
): Promise<Start[]> {
  const { kafka, client, assigned, startAt } = options
  const places = assigned.flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ topic, partition, stream: streamName(topic, partition) })),
  )
  if (places.length === 0) return []
  const asked = places.map(({ topic, stream }) => {
    const id = topics.get(topic)?.id
    if (id === undefined) throw new kafka.NetworkError(`The id of topic ${topic} is not known.`)
    return { stream, lineage: `${cluster}:${id}` }
  })
  const wanted = (await startAt?.(asked)) ?? new Map<string, bigint>()
  const committed =
    wanted.size < places.length ? await committedOffsets(options, signal) : new Map<string, bigint>()
  const starts: Start[] = []
  const missing: Record<string, number[]> = {}
  for (const { topic, partition, stream } of places) {
    const given = wanted.get(stream)
    const next = given ?? committed.get(stream)
    if (next === undefined) (missing[topic] ??= []).push(partition)
    else starts.push({ topic, partition, next, isGiven: given !== undefined })
  }
  return [...starts, ...(await logStarts(client, missing))]
}

/** Where the log of these partitions starts. */
export async function logStarts(
  client: Consumer,
  partitions: Readonly<Record<string, number[]>>,
): Promise<Start[]> {
  const topics = Object.keys(partitions)
  if (topics.length === 0) return []
  const offsets = await client.listOffsets({ topics, partitions: { ...partitions }, timestamp: earliest })
  return topics.flatMap((topic) =>
    partitions[topic]!.map((partition) => ({
      topic,
      partition,
      next: offsets.get(topic)?.[partition] ?? 0n,
      isGiven: false,
    })),
  )
}

type OffsetFetchArguments = [
  groups: readonly {
    readonly groupId: string
    readonly memberId: null
    readonly memberEpoch: number
    readonly topics: readonly { readonly name: string; readonly partitionIndexes: readonly number[] }[]
  }[],
  requireStable: boolean,
]
interface OffsetFetchResponse {
  readonly groups: readonly {
    readonly topics: readonly {
      readonly name: string
      readonly partitions: readonly { readonly partitionIndex: number; readonly committedOffset: bigint }[]
    }[]
  }[]
}

/**
 * By stream. While a transaction that commits positions is under way the broker has no answer (KIP-447): the old positions
 * could be undone by it, and what it has handled would be handled again. The library asks for the old ones.
 */
async function committedOffsets(
  { kafka, client, coordinator, assigned }: StartsOptions,
  signal: AbortSignal,
): Promise<Map<string, bigint>> {
  const topics = assigned.map(({ topic, partitions }) => ({ name: topic, partitionIndexes: partitions }))
  const api = await findApi<OffsetFetchArguments, OffsetFetchResponse>(kafka, client, 'OffsetFetch')
  for (;;) {
    signal.throwIfAborted()
    try {
      const connection = await coordinator.connection()
      const group = { groupId: coordinator.groupId, memberId: null, memberEpoch: -1, topics }
      return offsetsIn(await api.async(connection, [group], true))
    } catch (error) {
      coordinator.judge(error)
      if (!hasKafkaError(error, 'UNSTABLE_OFFSET_COMMIT')) throw error
    }
    await systemClock.sleep(unstablePauseMs, signal)
  }
}

function offsetsIn({ groups }: OffsetFetchResponse): Map<string, bigint> {
  const offsets = new Map<string, bigint>()
  for (const { topics } of groups) {
    for (const { name, partitions } of topics) {
      for (const { partitionIndex, committedOffset } of partitions) {
        if (committedOffset >= 0n) offsets.set(streamName(name, partitionIndex), committedOffset)
      }
    }
  }
  return offsets
}
