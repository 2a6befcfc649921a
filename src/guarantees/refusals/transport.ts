import { toAtLeastOnce, toAtMostOnce } from '../nearest.ts'
import { cannotBe, type Rule } from './rule.ts'

export const transportRules: Readonly<Record<string, Rule>> = {
  'local-without-outbox': {
    cause: 'transport',
    what: '`outbox: false` over a local transport: the outbox is the only way its messages have.',
    instead: 'Leave `outbox` out, or go over a broker.',
    find({ channel, transport }) {
      if (channel.isStored || !transport.capabilities.isLocal) return null
      return {
        message:
          `Channel "${channel.name}" (${channel.guarantee}) has \`outbox: false\` and goes over "${transport.name}", which is ` +
          'local: its consumers read the outbox themselves, so without it there is no way to them.',
        nearest: { words: '`outbox` left out', channel: { isStored: true } },
      }
    },
  },
  'send-is-not-confirmed': {
    cause: 'transport',
    what: '`outbox: false` over a transport that confirms nothing, with more than at-most-once: `send()` could not learn whether its message arrived, and nobody else has it.',
    instead: "`guarantee: 'at-most-once'`.",
    find(input) {
      const { channel, transport } = input
      if (channel.isStored || channel.guarantee === 'at-most-once' || transport.capabilities.confirms)
        return null
      return {
        message:
          `${cannotBe(input)} with \`outbox: false\`: ${transport.kind} never says whether it has a message, so send() ` +
          'cannot know when to try again, and no outbox keeps the message meanwhile.',
        nearest: toAtMostOnce(input),
      }
    },
  },
  'transport-does-not-confirm': {
    cause: 'transport',
    what: 'More than at-most-once over a transport that confirms nothing: the relay could never delete a message, or would delete one that was lost.',
    instead: "`guarantee: 'at-most-once'`, or a transport that confirms.",
    find(input) {
      const { channel, transport } = input
      if (!channel.isStored || channel.guarantee === 'at-most-once' || transport.capabilities.confirms)
        return null
      return {
        message:
          `${cannotBe(input)}: ${transport.kind} never says whether it has a message, so the relay would delete messages ` +
          'that were lost on the way, or send each of them for ever.',
        nearest: toAtMostOnce(input),
      }
    },
  },
  'transport-cannot-send-once': {
    cause: 'transport',
    what: 'At-most-once over a transport whose client cannot be kept from sending again.',
    instead: "`guarantee: 'at-least-once'`.",
    find(input) {
      const { channel, transport } = input
      if (channel.guarantee !== 'at-most-once' || transport.capabilities.dispatches) return null
      return {
        message:
          `${cannotBe(input)}: the client of ${transport.kind} sends again by itself, so a message could be handled twice, ` +
          'which at-most-once excludes.',
        nearest: toAtLeastOnce(input),
      }
    },
  },
  'transport-does-not-settle': {
    cause: 'transport',
    what: 'More than at-most-once over a transport that hands each message over once, whatever becomes of it.',
    instead: "`guarantee: 'at-most-once'`, or a transport whose consumers settle.",
    find(input) {
      const { channel, transport } = input
      if (channel.guarantee === 'at-most-once' || transport.capabilities.settles) return null
      return {
        message:
          `${cannotBe(input)}: ${transport.kind} hands a message over once and never again, so one whose handler fails, or ` +
          'whose process ends, is lost.',
        nearest: toAtMostOnce(input),
      }
    },
  },
  'address-is-shared': {
    cause: 'transport',
    what: 'An at-most-once channel at the address of a channel with another guarantee: settling a message before its handler also settles those of the other channel that stand before it.',
    instead: 'An `address` of its own.',
    find({ channel, transport }) {
      const isOnce = channel.guarantee === 'at-most-once'
      const other = channel.sharesAddressWith.find(
        ({ guarantee }) => isOnce !== (guarantee === 'at-most-once'),
      )
      if (other === undefined || transport.capabilities.isLocal) return null
      return {
        message:
          `Channel "${channel.name}" (${channel.guarantee}) shares its address on "${transport.name}" with channel ` +
          `"${other.name}" (${other.guarantee}): at-most-once settles before the handler starts, and that settles every ` +
          'message before it at the same address, the other channel’s too, so those could be lost.',
        nearest: {
          words: `an \`address\` of its own for channel "${channel.name}"`,
          channel: { sharesAddressWith: [] },
        },
      }
    },
  },
  'transport-cannot-transform': {
    cause: 'transport',
    what: 'A transform over a transport that cannot write outputs and position in one transaction (Kafka with the group protocol `consumer` among them).',
    instead:
      "Over Kafka `groupProtocol: 'classic'`; elsewhere a handler that publishes through `tx`, with the inbox.",
    find({ channel, transport, consumers }) {
      const consumer = consumers.find(({ transforms }) => transforms)
      if (consumer === undefined || transport.capabilities.transforms) return null
      const classic = transport.kind === 'kafka' ? ", or `groupProtocol: 'classic'` of the transport" : ''
      return {
        message:
          `Consumer "${consumer.name}" of channel "${channel.name}" (${channel.guarantee}) transforms, but "${transport.name}" ` +
          `(${transport.kind}) as it is set up cannot write outputs and the consumer's position in one transaction.`,
        nearest: {
          words: `a handler with \`tx\` in place of the transform of "${consumer.name}"${classic}`,
          consumer: { name: consumer.name, change: { transforms: false } },
        },
      }
    },
  },
}
