import { durationText } from '../duration.ts'
import { consumerForm, isPositional, relayForm } from '../forms.ts'
import { toInbox } from '../nearest.ts'
import { attemptsOf, consumerSpanMs, latestCopyMs, longEnough, relaySpanMs } from '../windows.ts'
import { cannotBe, consumerOf, eachConsumer, type Rule } from './rule.ts'

export const retryRules: Readonly<Record<string, Rule>> = {
  'at-most-once-has-no-retries': {
    cause: 'retry',
    what: '`maxAttempts` on an at-most-once channel: a second attempt is what it excludes.',
    instead: 'Leave `maxAttempts` out.',
    find({ channel }) {
      const { name, guarantee, maxAttempts } = channel
      if (guarantee !== 'at-most-once' || maxAttempts === undefined || maxAttempts === 1) return null
      return {
        message:
          `Channel "${name}" is at-most-once and has \`maxAttempts\` ${maxAttempts}: a message that may have been handled is ` +
          'never tried again, so there is nothing to count.',
        nearest: { words: '`maxAttempts` left out', channel: { maxAttempts: undefined } },
      }
    },
  },
  'retries-outlast-the-inbox': {
    cause: 'retry',
    what: 'Retries that last longer than the inbox remembers beyond the longest redelivery: the last copy comes when it has forgotten the first (I5).',
    instead: 'A longer `inboxRetentionMs`, or fewer attempts.',
    find: eachConsumer((input, consumer) => {
      const { channel, transport, windows } = input
      if (channel.guarantee !== 'exactly-once' || transport.capabilities.isLocal) return null
      if (consumerForm(input, consumer) !== 'inbox') return null
      if (windows.inboxRetentionMs >= latestCopyMs(input, consumer)) return null
      const { inboxRetentionMs, maxAttempts } = longEnough(input, consumer)
      const fewer = maxAttempts === undefined ? '' : ` and maxAttempts: ${maxAttempts}`
      const retries =
        (relayForm(input) === 'confirm' ? relaySpanMs(input) : 0) + consumerSpanMs(input, consumer)
      return {
        message:
          `${consumerOf(input, consumer.name)} forgets a message after ${durationText(windows.inboxRetentionMs)}, but ` +
          `${attemptsOf(input)} attempts take up to ${durationText(retries)} and come on top of the transport's redelivery: ` +
          'a copy could come to an inbox that has forgotten it.',
        nearest: {
          words: `inboxRetentionMs: ${inboxRetentionMs}${fewer}`,
          windows: { inboxRetentionMs },
          ...(maxAttempts === undefined ? {} : { channel: { maxAttempts } }),
        },
      }
    }),
  },
  'retries-outlast-deduplication': {
    cause: 'retry',
    what: 'A consumer without an inbox behind a transport that drops copies for a shorter time than the retries take (B5).',
    instead: "`form: 'inbox'`, or fewer attempts.",
    find: eachConsumer((input, consumer) => {
      const { channel, transport } = input
      const { deduplicatesMs } = transport.capabilities
      if (channel.guarantee !== 'exactly-once' || relayForm(input) !== 'confirm' || deduplicatesMs === null)
        return null
      if (!isPositional(consumerForm(input, consumer)) || relaySpanMs(input) <= deduplicatesMs) return null
      return {
        message:
          `${cannotBe(input)} for consumer "${consumer.name}", which has no inbox: ${transport.kind} drops copies for ` +
          `${durationText(deduplicatesMs)} only, and ${attemptsOf(input)} attempts take up to ` +
          `${durationText(relaySpanMs(input))}.`,
        nearest: toInbox(input, consumer),
      }
    }),
  },
}
