import { clientOptions, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'

/**
 * For a member whose JoinGroup waits for others that hand back: a broker reads one request after the other from a connection, so over its
 * own it could not say that it goes. Over another one it is gone at once, and nobody waits for the end of its session. Its JoinGroup is
 * refused then.
 */
export async function leaveGroup(
  kafka: KafkaLibrary,
  settings: KafkaSettings,
  applicationName: string,
  groupId: string,
  memberId: string,
): Promise<void> {
  const admin = new kafka.Admin({ ...clientOptions(settings, applicationName), retries: 1, retryDelay: 100 })
  try {
    await admin.removeMembersFromConsumerGroup({ groupId, members: [{ memberId }] })
  } finally {
    await admin.close()
  }
}
