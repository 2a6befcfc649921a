import { BatchProcessor } from '../../src/consumer/batch-processor.ts'
import type { HandlerEntry } from '../../src/consumer/handler.ts'
import type { WorkItem } from '../../src/consumer/work-item.ts'
import type { Envelope } from '../../src/kernel/message.ts'
import { defineChannel } from '../../src/outbox/channel.ts'
import { FakeClock } from './clock.ts'
import { envelope } from './messages.ts'
import { FakeStore, type FakeTransaction } from './store.ts'

/** A stop that never comes. */
export const never: AbortSignal = new AbortController().signal

export interface ProcessorSetUp {
  readonly store: FakeStore
  readonly clock: FakeClock
  /** Names of the messages whose handler was started, in order, and with which attempt. */
  readonly ran: string[]
  readonly attempts: number[]
  /** What the handler throws, by name of the message. */
  readonly failing: Map<string, unknown>
  readonly handlers: Map<string, HandlerEntry>
  readonly processor: BatchProcessor<string>
  /** The outcomes' names. */
  process(items: readonly WorkItem<string>[], stop?: AbortSignal): Promise<string[]>
}

/** A processor over a store in memory, whose handler of `orders` notes each message and fails on those told to. */
export function setUp(
  options: { admission?: boolean; maxAttempts?: number; handlerTimeoutMs?: number } = {},
): ProcessorSetUp {
  const store = new FakeStore()
  const clock = new FakeClock()
  const ran: string[] = []
  const failing = new Map<string, unknown>()
  const attempts: number[] = []
  const orders: HandlerEntry = {
    channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
    form: 'inbox',
    handle(message, { tx, attempt }) {
      const name = message.payload as string
      ran.push(name)
      attempts.push(attempt)
      ;(tx as FakeTransaction).write(name)
      if (failing.has(name)) throw failing.get(name)
    },
  }
  const handlers = new Map([['orders', orders]])
  const processor = new BatchProcessor<string>({
    consumer: 'shipping',
    handlers,
    transactions: store.transactions,
    inbox: store.inbox,
    admission:
      options.admission === false
        ? undefined
        : {
            admit: (executor, items) =>
              store.inbox.admit(
                executor,
                'shipping',
                items.map((item) => item.envelope.id),
              ),
          },
    maxAttempts: options.maxAttempts ?? 10,
    handlerTimeoutMs: options.handlerTimeoutMs ?? 5000,
    idleTimeoutMs: 10_000,
    clock,
    random: () => 0.5,
  })
  const process = async (items: readonly WorkItem<string>[], stop: AbortSignal = never): Promise<string[]> =>
    (await processor.process(items, stop)).map((outcome) => outcome.outcome)
  return { store, clock, ran, attempts, failing, handlers, processor, process }
}

export function item(
  name: string,
  key: string | null = name,
  more: Partial<Envelope> = {},
): WorkItem<string> {
  return { envelope: envelope(name, key, more), ref: name, isAlone: false }
}

export function alone(name: string, key: string | null = name): WorkItem<string> {
  return { ...item(name, key), isAlone: true }
}
