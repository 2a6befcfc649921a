import type { CompileInput, ConsumerFacts, ConsumerForm, RelayForm, SendForm } from './plan.ts'

/** How stored messages leave the outbox; the only place that decides it. */
export function relayForm({ channel, transport, ...rest }: CompileInput): RelayForm | 'none' {
  if (!channel.isStored) return 'none'
  if (transport.capabilities.isLocal) return 'handlers'
  if (channel.guarantee === 'at-most-once') return 'take'
  const isFenced = transport.capabilities.fences && !everyConsumerHasInbox({ channel, transport, ...rest })
  return channel.guarantee === 'exactly-once' && isFenced ? 'fence' : 'confirm'
}

/**
 * Whether the wire may hold copies because every consumer there is knows the ids it has handled. A checkpoint does not do: a
 * copy that a relay sent after a crash has a position of its own, and is handled again.
 */
function everyConsumerHasInbox({ channel }: CompileInput): boolean {
  const declared = Object.values(channel.declaredConsumers)
  return declared.length > 0 && declared.every((form) => form === 'inbox')
}

export function sendForm({ channel }: CompileInput): SendForm {
  if (channel.guarantee === 'exactly-once') return 'none'
  return channel.guarantee === 'at-most-once' ? 'dispatch' : 'confirm'
}

/** The form of a consumer that was registered here. A form that was asked for is given, or refused, never replaced. */
export function consumerForm({ channel }: CompileInput, consumer: ConsumerFacts): ConsumerForm {
  if (channel.guarantee === 'at-most-once') return 'settle-first'
  if (consumer.transforms) return 'transform'
  if (channel.guarantee !== 'exactly-once') return consumer.form ?? 'settle-after'
  const isDeclared = channel.declaredConsumers[consumer.name] === 'checkpoint'
  return consumer.form ?? (isDeclared ? 'checkpoint' : 'inbox')
}

/** Whether a consumer keeps a position and not ids: it tells a redelivery from a new message, but not a copy. */
export function isPositional(form: ConsumerForm): boolean {
  return form === 'checkpoint' || form === 'transform'
}
