/** The next offset to be read of a topic partition: what a commit says. */
export interface NextOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

export const done = 0

/** The group has a new assignment, or is making one: what is committed in the name of the old one is refused. */
export const moved: ReadonlySet<number> = new Set([
  22, // ILLEGAL_GENERATION
  25, // UNKNOWN_MEMBER_ID
  27, // REBALANCE_IN_PROGRESS
  82, // FENCED_INSTANCE_ID
  110, // FENCED_MEMBER_EPOCH
])

/** The same by their names, as the library gives them. */
export const movedNames = [
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'REBALANCE_IN_PROGRESS',
  'FENCED_INSTANCE_ID',
  'FENCED_MEMBER_EPOCH',
] as const

type CommitTopics = {
  name: string
  partitions: {
    partitionIndex: number
    committedOffset: bigint
    committedLeaderEpoch: number
    committedMetadata: null
  }[]
}[]
export type CommitArguments = [string, number, string, null, CommitTopics]

export type TransactionCommitArguments = [
  transactionalId: string,
  groupId: string,
  producerId: bigint,
  producerEpoch: number,
  generationId: number,
  memberId: string,
  instanceId: null,
  topics: CommitTopics,
]

export interface CommitResponse {
  readonly topics: readonly {
    readonly name: string
    readonly partitions: readonly { readonly partitionIndex: number; readonly errorCode: number }[]
  }[]
}

export function topicsOf(offsets: Iterable<NextOffset>): CommitTopics {
  const topics = new Map<string, CommitTopics[number]>()
  for (const { topic, partition, offset } of offsets) {
    let entry = topics.get(topic)
    if (entry === undefined) topics.set(topic, (entry = { name: topic, partitions: [] }))
    entry.partitions.push({
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      committedMetadata: null,
    })
  }
  return [...topics.values()]
}
