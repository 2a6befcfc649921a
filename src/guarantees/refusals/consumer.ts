import { consumerForm, isPositional, relayForm } from '../forms.ts'
import { toAtLeastOnce, toInbox } from '../nearest.ts'
import { cannotBe, consumerOf, eachConsumer, type Rule } from './rule.ts'

export const consumerRules: Readonly<Record<string, Rule>> = {
  'declared-consumer-repeats': {
    cause: 'consumer',
    what: 'An exactly-once channel that declares a consumer which nothing keeps from a repeat.',
    instead: "Give that consumer an inbox and declare it, or `guarantee: 'at-least-once'`.",
    find(input) {
      const name = declaredNone(input.channel.declaredConsumers)
      if (input.channel.guarantee !== 'exactly-once' || name === undefined) return null
      return {
        message:
          `${cannotBe(input)} for consumer "${name}", which is declared as 'none': a redelivery has its effect there once ` +
          'more. With an inbox, declared as such, it could be.',
        nearest: toAtLeastOnce(input),
      }
    },
  },
  'declared-consumer-is-not-idempotent': {
    cause: 'consumer',
    what: 'An effectively-once channel that declares a consumer which is neither idempotent nor has an inbox or a checkpoint.',
    instead: "Make that consumer idempotent and declare it, or `guarantee: 'at-least-once'`.",
    find(input) {
      const name = declaredNone(input.channel.declaredConsumers)
      if (input.channel.guarantee !== 'effectively-once' || name === undefined) return null
      return {
        message:
          `${cannotBe(input)} for consumer "${name}", which is declared as 'none': many runs make one effect only where the ` +
          'handler is idempotent, declared as such.',
        nearest: toAtLeastOnce(input),
      }
    },
  },
  'at-most-once-has-no-form': {
    cause: 'consumer',
    what: '`form` for a consumer of an at-most-once channel: it settles before its handler starts, so nothing can come twice.',
    instead: 'Leave `form` out.',
    find: eachConsumer((input, consumer) => {
      if (input.channel.guarantee !== 'at-most-once' || consumer.form === undefined) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} asks for the form '${consumer.form}': it settles each message before the ` +
          'handler starts, so no copy comes that would have to be told apart.',
        nearest: {
          words: `consumer "${consumer.name}" without \`form\``,
          consumer: { name: consumer.name, change: { form: undefined } },
        },
      }
    }),
  },
  'transform-needs-exactly-once': {
    cause: 'consumer',
    what: 'A transform of a channel that is not exactly-once: its transaction would keep what the channel does not promise.',
    instead: "A plain handler, or `guarantee: 'exactly-once'`.",
    find: eachConsumer((input, consumer) => {
      if (!consumer.transforms || input.channel.guarantee === 'exactly-once') return null
      return {
        message:
          `${consumerOf(input, consumer.name)} transforms: position and outputs in one transaction make sense only where ` +
          'each message is on the wire once, which exactly-once alone takes care of.',
        nearest: {
          words: `a handler with \`tx\` in place of the transform of "${consumer.name}"`,
          consumer: { name: consumer.name, change: { transforms: false } },
        },
      }
    }),
  },
  'transform-has-no-form': {
    cause: 'consumer',
    what: '`form` beside a transform, which is a form of its own: it keeps its position in the transport.',
    instead: 'Leave `form` out.',
    find: eachConsumer((input, consumer) => {
      if (!consumer.transforms || consumer.form === undefined) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} transforms and asks for the form '${consumer.form}': a transform keeps its ` +
          'position in the transaction of the transport and does not touch the store.',
        nearest: {
          words: `the transform of "${consumer.name}" without \`form\``,
          consumer: { name: consumer.name, change: { form: undefined } },
        },
      }
    }),
  },
  'consumer-is-not-idempotent': {
    cause: 'consumer',
    what: 'A handler of an effectively-once channel that is not declared idempotent: a repeat is certain to come.',
    instead:
      "`idempotent: true` once `waybill check-idempotency` has shown it, or `guarantee: 'exactly-once'`.",
    find: eachConsumer((input, consumer) => {
      if (input.channel.guarantee !== 'effectively-once' || consumer.isIdempotent) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} is not declared idempotent: its handler will run again on messages it has ` +
          'handled, and only an idempotent one makes one effect of many runs.',
        nearest: {
          words: `idempotent: true for consumer "${consumer.name}", once \`waybill check-idempotency\` has shown that it is`,
          consumer: { name: consumer.name, change: { isIdempotent: true } },
        },
      }
    }),
  },
  'consumer-is-declared-with-inbox': {
    cause: 'consumer',
    what: "A consumer that its exactly-once channel declares as 'inbox' and that keeps a position here: the relay may put copies on the wire because of that word.",
    instead: "`form: 'inbox'`, or another declaration.",
    find: eachConsumer((input, consumer) => {
      const { channel } = input
      if (channel.guarantee !== 'exactly-once' || channel.declaredConsumers[consumer.name] !== 'inbox')
        return null
      const form = consumerForm(input, consumer)
      if (!isPositional(form)) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} is declared with an inbox, but its form here is '${form}': the relay may rely ` +
          'on the inbox and put copies on the wire, which a position cannot tell from new messages.',
        nearest: toInbox(input, consumer),
      }
    }),
  },
  'local-has-no-positions': {
    cause: 'consumer',
    what: "`form: 'checkpoint'` over a local transport: its messages are rows, not positions in a log.",
    instead: "Leave `form` out: a sole consumer deletes the row in the handler's own transaction.",
    find: eachConsumer((input, consumer) => {
      if (consumerForm(input, consumer) !== 'checkpoint' || !input.transport.capabilities.isLocal) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} asks for a checkpoint over "${input.transport.name}", which is local: its ` +
          'messages are rows of the same database and have no position to keep.',
        nearest: toInbox(input, consumer),
      }
    }),
  },
  'transport-cannot-seek': {
    cause: 'consumer',
    what: "`form: 'checkpoint'` over a transport that cannot start at a position the consumer names.",
    instead: "`form: 'inbox'`.",
    find: eachConsumer((input, consumer) => {
      if (consumerForm(input, consumer) !== 'checkpoint' || input.transport.capabilities.seeks) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} is to keep its position with its effects, but "${input.transport.name}" ` +
          `(${input.transport.kind}) cannot start where a consumer says.`,
        nearest: toInbox(input, consumer),
      }
    }),
  },
  'copies-reach-a-position': {
    cause: 'consumer',
    what: 'An exactly-once consumer that keeps a position behind a relay that does not fence: a copy which a relay sends after a crash has a position of its own and is handled again.',
    instead:
      "`form: 'inbox'`; where the transport fences, declare the consumer as 'checkpoint', so that the wire has no copies.",
    find: eachConsumer((input, consumer) => {
      const { channel, transport } = input
      if (channel.guarantee !== 'exactly-once' || relayForm(input) !== 'confirm') return null
      if (!isPositional(consumerForm(input, consumer)) || transport.capabilities.deduplicatesMs !== null)
        return null
      const declaredConsumers = { ...channel.declaredConsumers, [consumer.name]: 'checkpoint' as const }
      return {
        message:
          `${consumerOf(input, consumer.name)} tells messages by their position, and a relay that crashed may put a copy on ` +
          `"${transport.name}" at another one: ` +
          (transport.capabilities.fences
            ? 'the channel declares only consumers with an inbox, so its relay does not fence.'
            : `${transport.kind} has no fenced transaction that would keep it off.`),
        nearest: transport.capabilities.fences
          ? {
              words: `consumers: { ${JSON.stringify(consumer.name)}: 'checkpoint' } beside the others that channel "${channel.name}" declares`,
              channel: { declaredConsumers },
            }
          : toInbox(input, consumer),
      }
    }),
  },
}

function declaredNone(declared: Readonly<Record<string, string>>): string | undefined {
  return Object.entries(declared).find(([, form]) => form === 'none')?.[0]
}
