import type { Envelope } from '../kernel/message.ts'
import type { Inbox } from '../ports/inbox.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { HandlerTable } from './handler.ts'

/** In the handlers' transaction, before any of them: notes messages as handled and returns the ids that are to be run. */
export type Admit<Ref> = (
  transaction: SqlExecutor,
  items: readonly { readonly envelope: Envelope; readonly ref: Ref }[],
) => Promise<ReadonlySet<string>>

/**
 * For messages of a broker: those of exactly-once channels pass the inbox, the others run whenever they come. `undefined`
 * where no channel is exactly-once: nothing is noted then.
 */
export function brokerAdmission(
  inbox: Inbox,
  consumer: string,
  handlers: HandlerTable,
): Admit<unknown> | undefined {
  const isNoted = (channel: string): boolean => handlers.get(channel)?.channel.guarantee === 'exactly-once'
  if (![...handlers.keys()].some(isNoted)) return undefined
  return async (transaction, items) => {
    const noted = items.filter((item) => isNoted(item.envelope.channel))
    const others = items.filter((item) => !isNoted(item.envelope.channel))
    const admitted = noted.length === 0 ? [] : await inbox.admit(transaction, consumer, noted.map(idOf))
    return new Set([...admitted, ...others.map(idOf)])
  }
}

/** For rows of the consumer's own database: taking one is deleting it in the transaction that handles it. */
export function localAdmission(inbox: Inbox, consumer: string): Admit<OutboxRow> {
  return (transaction, items) =>
    inbox.take(
      transaction,
      consumer,
      items.map((item) => item.ref),
    )
}

function idOf(item: { readonly envelope: Envelope }): string {
  return item.envelope.id
}
