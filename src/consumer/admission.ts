import type { Envelope } from '../kernel/message.ts'
import type { Inbox } from '../ports/inbox.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { Delivery } from '../ports/transport.ts'
import type { HandlerTable } from './handler.ts'
import type { StreamCheckpoints } from './stream-checkpoints.ts'
import type { WindowEntry } from './window-entry.ts'

interface Item<Ref> {
  readonly envelope: Envelope
  readonly ref: Ref
}

/** What keeps messages from having their effect twice, in the handlers' own transaction. */
export interface Admission<Ref> {
  /**
   * Before any handler: notes messages as handled and returns the ids that are to be run. It waits for the end of another
   * transaction that is noting one of them. Throws `CheckpointMovedError` where that has moved their checkpoint.
   */
  admit(transaction: SqlExecutor, items: readonly Item<Ref>[]): Promise<ReadonlySet<string>>
  /** After the handlers, before the COMMIT is sent. What it throws rolls their work back. */
  confirm?(): Promise<void>
  /** The transaction has committed. */
  committed?(items: readonly Item<Ref>[]): void
  /** A checkpoint was found moved: `true` where `admit` knows better now, `false` where only a new assignment helps. */
  lookAgain?(stream: string): Promise<boolean>
}

type Admit<Ref> = Admission<Ref>['admit']

/**
 * For messages of a broker: those of the form `inbox` pass it, those of a stream with a checkpoint move that, the others run
 * whenever they come. `undefined` where no channel has one of these forms: nothing is noted then.
 */
export function brokerAdmission(
  inbox: Inbox,
  consumer: string,
  handlers: HandlerTable,
  checkpoints: StreamCheckpoints,
): Admission<WindowEntry> | undefined {
  const noted = admission<WindowEntry>(handlers, (transaction, items) =>
    inbox.admit(transaction, consumer, items.map(idOf)),
  )
  if (![...handlers.values()].some(({ form }) => form === 'checkpoint')) return noted
  return {
    async admit(transaction, items) {
      // What is past was handled by another, or by a transaction of our own whose commit was not answered.
      const ahead = items.filter(({ ref }) => !isKept(ref) || !checkpoints.isPast(ref.delivery))
      await checkpoints.advance(transaction, deliveriesOf(ahead))
      return (await noted?.admit(transaction, ahead)) ?? new Set(ahead.map(idOf))
    },
    committed: (items) => checkpoints.moved(deliveriesOf(items)),
    lookAgain: (stream) => checkpoints.lookAgain(stream),
  }
}

/** Those whose checkpoint moves with them: all of one stream, or none. */
function deliveriesOf(items: readonly Item<WindowEntry>[]): Delivery[] {
  return items.filter(({ ref }) => isKept(ref)).map(({ ref }) => ref.delivery)
}

function isKept(entry: WindowEntry): boolean {
  return entry.form === 'checkpoint'
}

/**
 * The same for rows of the consumer's own database: taking one is deleting it in the transaction that handles it. Rows of
 * another form are handled without a note, and the relay deletes them afterwards.
 */
export function localAdmission(
  inbox: Inbox,
  consumer: string,
  handlers: HandlerTable,
): Admission<OutboxRow> | undefined {
  return admission(handlers, (transaction, items) =>
    inbox.take(
      transaction,
      consumer,
      items.map((item) => item.ref),
    ),
  )
}

function admission<Ref>(handlers: HandlerTable, note: Admit<Ref>): Admission<Ref> | undefined {
  const isNoted = (channel: string): boolean => handlers.get(channel)?.form === 'inbox'
  if (![...handlers.keys()].some(isNoted)) return undefined
  return {
    async admit(transaction, items) {
      const noted = items.filter((item) => isNoted(item.envelope.channel))
      if (noted.length === items.length && noted.length > 0) return await note(transaction, noted)
      const others = items.filter((item) => !isNoted(item.envelope.channel))
      const admitted = noted.length === 0 ? [] : await note(transaction, noted)
      return new Set([...admitted, ...others.map(idOf)])
    },
  }
}

function idOf(item: { readonly envelope: Envelope }): string {
  return item.envelope.id
}
