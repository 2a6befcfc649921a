import { WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { EndedSubscription, SchemaAdmin } from '../ports/schema.ts'
import { audit } from './audit.ts'

/**
 * Subscriptions of consumers over `local`. A consumer subscribes when its process starts, and stays subscribed while none of its
 * processes runs: each message waits for it. One that was renamed or has gone for good has to be ended, or the outbox grows for
 * ever.
 */
export interface SubscriptionDesk {
  /** What `end` would end and release. Changes nothing; throws as that does. */
  look(consumer: string): Promise<readonly EndedSubscription[]>
  /**
   * Ends all subscriptions of a consumer: messages that waited only for it are deleted, those of a channel that nobody else has
   * subscribed to are kept. Its dead letters stay, and cannot be replayed any more. A process of it that starts later subscribes again, to
   * what is published from then on. Logged with who did it.
   *
   * Throws `WB_INVALID_OPTION`; `WB_STORE_CONFLICT`, which is retryable, where a process of that consumer lives.
   */
  end(consumer: string): Promise<readonly EndedSubscription[]>
}

export interface SubscriptionDeskParts {
  readonly store: () => { readonly schema: Pick<SchemaAdmin, 'unsubscribe'> }
  readonly logger: Logger
}

export function createSubscriptionDesk({ store, logger }: SubscriptionDeskParts): SubscriptionDesk {
  return {
    look: async (consumer) => await store().schema.unsubscribe(checked(consumer), { isDryRun: true }),
    async end(consumer) {
      const ended = await store().schema.unsubscribe(checked(consumer))
      audit(logger, 'subscriptions.end', { consumer }, { ended })
      return ended
    },
  }
}

/** A relay's own lane has no consumer, and is nobody's to end. */
function checked(consumer: unknown): string {
  if (typeof consumer === 'string' && consumer !== '') return consumer
  throw new WaybillError('WB_INVALID_OPTION', 'A consumer is named by a text of at least one character.')
}
