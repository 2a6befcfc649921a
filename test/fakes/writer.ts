import type { Delay, NewMessage, OutboxWriter } from '../../src/ports/outbox-writer.ts'
import type { SqlExecutor, TransactionState } from '../../src/ports/sql.ts'

/** An outbox that only notes what is written into it, one line for each statement. */
export class FakeWriter implements OutboxWriter {
  readonly appended: {
    readonly transaction: SqlExecutor
    readonly channel: string
    readonly messages: readonly NewMessage[]
    readonly delay: Delay | null
  }[] = []

  async append(
    transaction: SqlExecutor,
    channel: string,
    messages: readonly NewMessage[],
    delay: Delay | null,
  ): Promise<{ transactionId: string }> {
    this.appended.push({ transaction, channel, messages, delay })
    return { transactionId: '4711' }
  }
}

/** A transaction in whatever state its test puts it. */
export class FakeExecutor implements SqlExecutor {
  state: TransactionState = 'active'

  async execute(): Promise<readonly []> {
    return []
  }

  transactionState(): TransactionState {
    return this.state
  }
}
