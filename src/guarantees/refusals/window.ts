import { durationText } from '../duration.ts'
import { consumerForm, relayForm } from '../forms.ts'
import type { CompileInput } from '../plan.ts'
import { longEnough, longestUnderLeaseMs } from '../windows.ts'
import { cannotBe, consumerOf, eachConsumer, type Rule } from './rule.ts'

export const windowRules: Readonly<Record<string, Rule>> = {
  'producer-is-forgotten-under-lease': {
    cause: 'window',
    what: "Exactly-once where the transport forgets an idle producer within a relay's lease: a fence that is forgotten holds nobody back.",
    instead:
      "A shorter `leaseMs`, or a longer expiry at the broker and in the transport's `producerExpiryMs`.",
    find(input) {
      const { transport, windows } = input
      const { producerExpiryMs } = transport.capabilities
      if (relayForm(input) !== 'fence' || producerExpiryMs === null || producerExpiryMs > windows.leaseMs)
        return null
      const leaseMs = Math.max(1, Math.floor(producerExpiryMs / 2))
      const publishTimeoutMs = Math.min(windows.publishTimeoutMs, longestUnderLeaseMs(leaseMs))
      const shorter =
        publishTimeoutMs === windows.publishTimeoutMs ? '' : ` and publishTimeoutMs: ${publishTimeoutMs}`
      return {
        message:
          `${cannotBe(input)}: it forgets a producer that was idle for ${durationText(producerExpiryMs)}, and a relay may ` +
          `hold a partition for ${durationText(windows.leaseMs)} without a sign of life, so its fence could be forgotten.`,
        nearest: { words: `leaseMs: ${leaseMs}${shorter}`, windows: { leaseMs, publishTimeoutMs } },
      }
    },
  },
  'publish-outlives-lease': {
    cause: 'window',
    what: 'A publish time-out of more than two thirds of the lease: a send that began under a lease would end after it, beside the one of the next relay (P11).',
    instead: 'A shorter `publishTimeoutMs` or a longer `leaseMs`.',
    find(input) {
      const { leaseMs, publishTimeoutMs } = input.windows
      const longest = longestUnderLeaseMs(leaseMs)
      if (!isRelayed(input) || publishTimeoutMs <= longest) return null
      return {
        message:
          `${cannotBe(input)} with a publish time-out of ${durationText(publishTimeoutMs)} under a lease of ` +
          `${durationText(leaseMs)}: a send starts only if it ends within two thirds of the lease, so none would start.`,
        nearest: { words: `publishTimeoutMs: ${longest}`, windows: { publishTimeoutMs: longest } },
      }
    },
  },
  'transaction-shorter-than-publish': {
    cause: 'window',
    what: "A publish time-out that is not shorter than the transport's transaction time-out: the broker would abort what a relay or a transform still waits for.",
    instead: 'A shorter `publishTimeoutMs`, or a longer `transactionTimeoutMs` of the transport.',
    find(input) {
      const { transport, windows } = input
      const { transactionTimeoutMs } = transport.capabilities
      const isUsed =
        relayForm(input) === 'fence' ||
        input.consumers.some((consumer) => consumerForm(input, consumer) === 'transform')
      if (!isUsed || transactionTimeoutMs === null || windows.publishTimeoutMs < transactionTimeoutMs)
        return null
      const publishTimeoutMs = Math.floor(transactionTimeoutMs / 2)
      return {
        message:
          `${cannotBe(input)}: it aborts a transaction after ${durationText(transactionTimeoutMs)}, and a send may take ` +
          `${durationText(windows.publishTimeoutMs)}, so one that is merely slow would be aborted under way, each time.`,
        nearest: { words: `publishTimeoutMs: ${publishTimeoutMs}`, windows: { publishTimeoutMs } },
      }
    },
  },
  'handler-outlives-lease': {
    cause: 'window',
    what: 'A handler time-out of more than two thirds of the lease over a local transport, whose handlers run under it (P11).',
    instead: 'A shorter handler time-out or a longer `leaseMs`.',
    find: eachConsumer((input, consumer) => {
      const { leaseMs } = input.windows
      const longest = longestUnderLeaseMs(leaseMs)
      if (relayForm(input) !== 'handlers' || consumer.handlerTimeoutMs <= longest) return null
      return {
        message:
          `${consumerOf(input, consumer.name)} may take ${durationText(consumer.handlerTimeoutMs)} for a message under a ` +
          `lease of ${durationText(leaseMs)}: over a local transport handlers run under the lease and must end within two ` +
          'thirds of it.',
        nearest: {
          words: `a time-out of ${longest} ms for the handler of "${consumer.name}"`,
          consumer: { name: consumer.name, change: { handlerTimeoutMs: longest } },
        },
      }
    }),
  },
  'inbox-shorter-than-redelivery': {
    cause: 'window',
    what: 'An inbox that forgets a message before the transport must have stopped handing it over (I5).',
    instead:
      'A longer `inboxRetentionMs`, or a shorter retention at the broker and in the transport’s options.',
    find: eachConsumer((input, consumer) => {
      const { channel, transport, windows } = input
      const { redeliveryMs } = transport.capabilities
      if (channel.guarantee !== 'exactly-once' || consumerForm(input, consumer) !== 'inbox') return null
      if (redeliveryMs === null || windows.inboxRetentionMs >= redeliveryMs) return null
      const { inboxRetentionMs, maxAttempts } = longEnough(input, consumer)
      const fewer = maxAttempts === undefined ? '' : ` and maxAttempts: ${maxAttempts}`
      return {
        message:
          `${consumerOf(input, consumer.name)} forgets a message after ${durationText(windows.inboxRetentionMs)}, but ` +
          `"${transport.name}" (${transport.kind}) may hand it over again for ${durationText(redeliveryMs)}: its effect ` +
          'could then be repeated.',
        nearest: {
          words: `inboxRetentionMs: ${inboxRetentionMs}${fewer}`,
          windows: { inboxRetentionMs },
          ...(maxAttempts === undefined ? {} : { channel: { maxAttempts } }),
        },
      }
    }),
  },
}

/** Whether a relay sends its messages to a broker under a lease. */
function isRelayed(input: CompileInput): boolean {
  const form = relayForm(input)
  return form !== 'none' && form !== 'handlers'
}
