import type { Consumer } from '@platformatic/kafka'
import { clientOptions, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'
import { withWholeMetadata } from './whole-metadata.ts'

/**
 * The library's client for a group. It joins with the `classic` protocol only; for the other one see `GroupMember`. Each time it joins,
 * again included, it waits for `beforeJoin` first: a member that has joined has given its partitions back.
 */
export function groupClient(
  kafka: KafkaLibrary,
  settings: KafkaSettings,
  applicationName: string,
  groupId: string,
  beforeJoin: () => Promise<void>,
): Consumer {
  const { sessionTimeoutMs, requestTimeoutMs } = settings
  return new (withWholeMetadata(kafka, kafka.Consumer))({
    ...clientOptions(settings, applicationName),
    groupId,
    groupProtocol: 'classic',
    autocommit: false,
    // The library asks for it each time, between the answer that tells of a rebalance and its JoinGroup.
    protocolsMetadata: async () => {
      await beforeJoin()
      return Buffer.alloc(0)
    },
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: sessionTimeoutMs,
    // Half a session after the last one a member may be another's, and a third of one is left for what it has under way.
    heartbeatInterval: Math.min(1000, Math.floor(sessionTimeoutMs / 6)),
    heartbeatStallTimeout: 6 * sessionTimeoutMs,
    // A join is answered when all members have joined.
    requestTimeout: Math.max(requestTimeoutMs, sessionTimeoutMs + 5000),
    // Few: what fails for longer is tried again by the subscription, with a pause that grows.
    retries: 3,
    retryDelay: 200,
  })
}
