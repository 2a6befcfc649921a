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
 * For messages of a broker: those of the form `inbox` pass it, the others run whenever they come. `undefined` where no
 * channel has that form: nothing is noted then.
 */
export function brokerAdmission(
  inbox: Inbox,
  consumer: string,
  handlers: HandlerTable,
): Admit<unknown> | undefined {
  return admission(handlers, (transaction, items) => inbox.admit(transaction, consumer, items.map(idOf)))
}

/**
 * The same for rows of the consumer's own database: taking one is deleting it in the transaction that handles it. Rows of
 * another form are handled without a note, and the relay deletes them afterwards.
 */
export function localAdmission(
  inbox: Inbox,
  consumer: string,
  handlers: HandlerTable,
): Admit<OutboxRow> | undefined {
  return admission(handlers, (transaction, items) =>
    inbox.take(
      transaction,
      consumer,
      items.map((item) => item.ref),
    ),
  )
}

function admission<Ref>(handlers: HandlerTable, note: Admit<Ref>): Admit<Ref> | undefined {
  const isNoted = (channel: string): boolean => handlers.get(channel)?.form === 'inbox'
  if (![...handlers.keys()].some(isNoted)) return undefined
  return async (transaction, items) => {
    const noted = items.filter((item) => isNoted(item.envelope.channel))
    const others = items.filter((item) => !isNoted(item.envelope.channel))
    const admitted = noted.length === 0 ? [] : await note(transaction, noted)
    return new Set([...admitted, ...others.map(idOf)])
  }
}

function idOf(item: { readonly envelope: Envelope }): string {
  return item.envelope.id
}
