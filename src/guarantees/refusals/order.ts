import { consumerForm } from '../forms.ts'
import { consumerOf, eachConsumer, type Rule } from './rule.ts'

const unordered = { words: 'ordered: false', channel: { ordered: false } } as const

export const orderRules: Readonly<Record<string, Rule>> = {
  'transport-does-not-keep-order': {
    cause: 'order',
    what: 'An ordered channel over a transport that hands messages of a key over in any order.',
    instead: '`ordered: false`, or a transport that keeps order.',
    find({ channel, transport }) {
      if (!channel.ordered || transport.capabilities.keepsOrder) return null
      return {
        message:
          `Channel "${channel.name}" (${channel.guarantee}) is ordered, but "${transport.name}" (${transport.kind}) does not ` +
          'hand messages of a key over in the order they were sent.',
        nearest: unordered,
      }
    },
  },
  'store-does-not-order-commits': {
    cause: 'order',
    what: 'An ordered channel in the outbox of a store whose numbers do not follow the commits.',
    instead: '`ordered: false`.',
    find({ channel, store }) {
      if (!channel.ordered || !channel.isStored || store.capabilities.ordersCommits) return null
      return {
        message:
          `Channel "${channel.name}" (${channel.guarantee}) is ordered, but the store ${store.kind} numbers messages before ` +
          'their transactions commit: of two of one key the later number could commit first.',
        nearest: unordered,
      }
    },
  },
  'checkpoint-side-by-side': {
    cause: 'order',
    what: "`form: 'checkpoint'` with `concurrency` above 1: a position says that everything before it is done.",
    instead: "`concurrency: 1`, or `form: 'inbox'`.",
    find: eachConsumer((input, consumer) => {
      if (consumerForm(input, consumer) !== 'checkpoint' || consumer.concurrency <= 1) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} keeps its position with its effects and has \`concurrency\` ` +
          `${consumer.concurrency}: a position says that everything before it is done, which is not so where messages are ` +
          'handled side by side.',
        nearest: {
          words: `concurrency: 1 for consumer "${consumer.name}"`,
          consumer: { name: consumer.name, change: { concurrency: 1 } },
        },
      }
    }),
  },
}
