import type { Broker, ClusterMetadata } from '@platformatic/kafka'
import type { FetchRequestTopic } from './client.ts'
import type { Positions } from './positions.ts'

/** Of one partition, in one fetch. A batch that is larger comes all the same. */
const partitionBytes = 1_048_576

export interface FetchPlan {
  readonly fetches: readonly {
    readonly node: number
    readonly broker: Broker
    readonly topics: FetchRequestTopic[]
    /** Topic ids of the request, to names. */
    readonly names: ReadonlyMap<string, string>
  }[]
  /** Ids of the topics with their number of partitions: another text is another set of partitions. */
  readonly topics: string
}

/** One fetch for each broker that leads partitions of ours and has none under way. */
export function planFetches(
  metadata: ClusterMetadata,
  positions: Positions,
  busy: ReadonlySet<number>,
): FetchPlan {
  const plans = new Map<
    number,
    { broker: Broker; topics: Map<string, FetchRequestTopic>; names: Map<string, string> }
  >()
  for (const { topic, partition, next } of positions.all()) {
    const found = metadata.topics.get(topic)
    const leader = found?.partitions[partition]?.leader ?? -1
    const broker = metadata.brokers.get(leader)
    if (found === undefined || broker === undefined || busy.has(leader)) continue
    let plan = plans.get(leader)
    if (plan === undefined) plans.set(leader, (plan = { broker, topics: new Map(), names: new Map() }))
    let request = plan.topics.get(topic)
    if (request === undefined) plan.topics.set(topic, (request = { topicId: found.id, partitions: [] }))
    plan.names.set(found.id, topic)
    request.partitions.push({
      partition,
      fetchOffset: next,
      partitionMaxBytes: partitionBytes,
      // Without epochs: with acks=all nothing that was fetched can be cut off the log again.
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
    })
  }
  return {
    fetches: [...plans].map(([node, { broker, topics, names }]) => {
      return { node, broker, topics: [...topics.values()], names }
    }),
    topics: [...metadata.topics.values()]
      .map(({ id, partitionsCount }) => `${id}:${partitionsCount}`)
      .toSorted()
      .join(),
  }
}
