import { setTimeout as pause } from 'node:timers/promises'
import { WaybillError } from '../index.ts'

/** What the demo needs of Kafka besides sending and consuming. */
export interface TopicDesk {
  create(topic: string, partitions: number): Promise<void>
  /** Whether each of these consumer groups has so many members, and nothing is being shared out anew. */
  areShared(groups: readonly string[], members: number): Promise<boolean>
  /**
   * Removes the topic and the consumer group. A group of processes that were killed has members until their sessions end: it is waited
   * for that. Throws `WB_TIMED_OUT` where it is still there then.
   */
  remove(topic: string, group?: string): Promise<void>
  close(): Promise<void>
}

/** Topics are nobody's to make on a production broker but its operators'; the demo makes one of its own and removes it. */
export async function openTopicDesk(brokers: readonly string[]): Promise<TopicDesk> {
  const { Admin } = await import('@platformatic/kafka').catch((cause: unknown) => {
    throw new WaybillError(
      'WB_PEER_MISSING',
      'The Kafka client is not installed: npm install @platformatic/kafka',
      { cause },
    )
  })
  const admin = new Admin({
    clientId: 'waybill-demo',
    bootstrapBrokers: [...brokers],
    retries: 3,
    retryDelay: 300,
  })
  return {
    async create(topic, partitions) {
      try {
        await admin.createTopics({ topics: [topic], partitions, replicas: -1 })
      } catch (cause) {
        throw new WaybillError(
          'WB_BROKER_UNREACHABLE',
          `The topic ${topic} could not be made: check that the brokers answer and let this client make topics.`,
          { cause },
        )
      }
    },
    async areShared(groups, members) {
      const found = [...(await admin.describeGroups({ groups: [...groups] })).values()]
      const isShared = ({ state, members: own }: (typeof found)[number]): boolean =>
        state.toUpperCase() === 'STABLE' && own.size === members
      return found.length === groups.length && found.every(isShared)
    },
    async remove(topic, group) {
      await admin.deleteTopics({ topics: [topic] })
      if (group !== undefined) await removeGroup(admin, group)
    },
    close: () => admin.close(),
  }
}

/** Longer than any session of ours. */
const groupDeadlineMs = 20_000

interface GroupDesk {
  deleteGroups(options: { groups: string[] }): Promise<unknown>
  listGroups(): Promise<ReadonlyMap<string, unknown>>
}

async function removeGroup(admin: GroupDesk, group: string): Promise<void> {
  const deadline = performance.now() + groupDeadlineMs
  for (;;) {
    // Refused while it has members, and where nobody ever joined it: the list tells these apart.
    const isDeleted = await admin.deleteGroups({ groups: [group] }).then(
      () => true,
      () => false,
    )
    if (isDeleted || !(await admin.listGroups()).has(group)) return
    if (performance.now() > deadline)
      throw new WaybillError(
        'WB_TIMED_OUT',
        `The consumer group ${group} could not be removed: it still has members.`,
      )
    await pause(500)
  }
}
