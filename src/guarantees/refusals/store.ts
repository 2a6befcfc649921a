import { consumerForm, isPositional, relayForm } from '../forms.ts'
import { toAtLeastOnce, toAtMostOnce, toInbox } from '../nearest.ts'
import type { CompileInput, ConsumerFacts } from '../plan.ts'
import { cannotBe, consumerOf, eachConsumer, type Rule } from './rule.ts'

export const storeRules: Readonly<Record<string, Rule>> = {
  'exactly-once-without-outbox': {
    cause: 'store',
    what: 'Exactly-once with `outbox: false`: nothing ties the message to the transaction that caused it.',
    instead: "Leave `outbox` out, or `guarantee: 'at-least-once'` and `send()`.",
    find(input) {
      const { channel } = input
      if (channel.guarantee !== 'exactly-once' || channel.isStored) return null
      return {
        message:
          `${cannotBe(input)} with \`outbox: false\`: only a message that is stored in the transaction it belongs to is there ` +
          'exactly when that transaction commits.',
        nearest: { words: '`outbox` left out', channel: { isStored: true } },
      }
    },
  },
  'store-cannot-take': {
    cause: 'store',
    what: 'At-most-once through the outbox of a store that cannot delete a row durably before its one send.',
    instead: "`outbox: false` and `send()`; over a local transport `guarantee: 'at-least-once'`.",
    find(input) {
      const { channel, store, transport } = input
      if (channel.guarantee !== 'at-most-once' || !channel.isStored || store.capabilities.takes) return null
      return {
        message:
          `${cannotBe(input)} from the outbox: the store ${store.kind} cannot delete a message durably before it is sent, so ` +
          'a crash would send it again.',
        nearest: transport.capabilities.isLocal
          ? toAtLeastOnce(input)
          : { ...toAtMostOnce(input), words: '`outbox: false`, with send() in place of publish()' },
      }
    },
  },
  'store-without-inbox': {
    cause: 'store',
    what: 'A consumer with an inbox over a store that has none.',
    instead:
      "`form: 'checkpoint'` where transport and store can; else a handler that bears a repeat and `guarantee: 'at-least-once'`.",
    find: eachConsumer((input, consumer) => {
      if (consumerForm(input, consumer) !== 'inbox' || input.store.capabilities.hasInbox) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} needs an inbox, and the store ${input.store.kind} has none: it could not tell ` +
          'a copy from a new message in the transaction that has the effect.',
        nearest: canCheckpoint(input, consumer)
          ? {
              words: `form: 'checkpoint' for consumer "${consumer.name}"`,
              consumer: { name: consumer.name, change: { form: 'checkpoint' } },
            }
          : input.channel.guarantee === 'exactly-once'
            ? toAtLeastOnce(input)
            : toInbox(input, consumer),
      }
    }),
  },
  'store-without-checkpoints': {
    cause: 'store',
    what: "`form: 'checkpoint'` over a store that keeps no positions.",
    instead: "`form: 'inbox'`.",
    find: eachConsumer((input, consumer) => {
      if (consumerForm(input, consumer) !== 'checkpoint' || input.store.capabilities.hasCheckpoints)
        return null
      return {
        message:
          `${consumerOf(input, consumer.name)} is to keep its position with its effects, and the store ${input.store.kind} ` +
          'keeps no positions.',
        nearest: toInbox(input, consumer),
      }
    }),
  },
}

/** Whether a checkpoint would stand in for the inbox, without any other change. */
export function canCheckpoint(input: CompileInput, consumer: ConsumerFacts): boolean {
  const { channel, store, transport } = input
  const asCheckpoint = { ...consumer, form: 'checkpoint' as const }
  return (
    isPositional(consumerForm(input, asCheckpoint)) &&
    channel.guarantee === 'exactly-once' &&
    channel.declaredConsumers[consumer.name] !== 'inbox' &&
    relayForm(input) === 'fence' &&
    transport.capabilities.seeks &&
    store.capabilities.hasCheckpoints &&
    consumer.concurrency === 1 &&
    !consumer.transforms
  )
}
