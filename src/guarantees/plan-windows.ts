import { consumerForm, relayForm, sendForm } from './forms.ts'
import type { CompileInput, ConsumerForm, RelayForm, Window } from './plan.ts'
import { attemptsOf, consumerSpanMs, keptMs, relaySpanMs } from './windows.ts'

const afterLease: Readonly<Record<RelayForm, string>> = {
  confirm: 'another relay takes over, and what the first had sent and not deleted is sent again',
  take: 'another relay takes over, and what the first had taken counts as lost',
  fence: 'another relay takes over and fences the first, which can commit nothing more',
  handlers: 'another process takes over what the first had in hand',
}

const afterPublish: Readonly<Record<RelayForm, string | null>> = {
  confirm: 'the outcome counts as unknown, and it is sent again with the same id',
  take: 'the message counts as lost',
  fence: 'the outcome counts as unknown, and the relay asks the broker what has committed',
  handlers: null,
}

/** Every time within which the plan holds, and what happens after it. */
export function windowsOf(input: CompileInput): readonly Window[] {
  return [...relayWindows(input), ...sendWindows(input), ...consumerWindows(input)]
}

function relayWindows(input: CompileInput): readonly Window[] {
  const { windows, transport } = input
  const form = relayForm(input)
  if (form === 'none') return []
  const all: Window[] = [
    { what: 'lease of a relay', setting: 'leaseMs', ms: windows.leaseMs, after: afterLease[form] },
  ]
  const { expiresAfterMs } = input.channel
  if (expiresAfterMs !== undefined) {
    const after = 'a message that has not been sent is deleted, and counted as lost'
    all.push({ what: 'waiting in the outbox', setting: 'expiresAfterMs', ms: expiresAfterMs, after })
  }
  const after = afterPublish[form]
  if (after !== null) {
    all.push({ what: 'one send', setting: 'publishTimeoutMs', ms: windows.publishTimeoutMs, after })
  }
  if (form === 'fence') {
    const { transactionTimeoutMs, producerExpiryMs } = transport.capabilities
    if (transactionTimeoutMs !== null) {
      const aborted = 'the broker aborts it, and the batch is sent again'
      const what = "the broker's transaction"
      all.push({ what, setting: 'transactionTimeoutMs', ms: transactionTimeoutMs, after: aborted })
    }
    if (producerExpiryMs !== null) {
      const what = "the broker's memory of an idle relay"
      const forgotten = 'a relay that comes back later is refused, not fenced, and starts anew'
      all.push({ what, setting: 'producerExpiryMs', ms: producerExpiryMs, after: forgotten })
    }
  }
  if (form === 'confirm' || form === 'fence') {
    all.push({
      what: `${attemptsOf(input)} attempts to send`,
      setting: 'maxAttempts',
      ms: relaySpanMs(input),
      after:
        input.channel.onPoison === 'block'
          ? 'a message that is still rejected waits for an operator, and its key with it'
          : 'a message that is still rejected becomes a dead letter',
    })
  }
  if (keptMs(input) > 0) {
    const after = 'it can be replayed no more'
    all.push({ what: 'a sent message is kept', setting: 'retainMs', ms: keptMs(input), after })
  }
  const { deduplicatesMs } = transport.capabilities
  if (form === 'confirm' && deduplicatesMs !== null) {
    const after = 'a copy that is sent later is on the wire as a message of its own'
    all.push({ what: 'the transport drops copies', ms: deduplicatesMs, after })
  }
  return all
}

function sendWindows(input: CompileInput): readonly Window[] {
  const { transport, windows } = input
  if (sendForm(input) !== 'confirm' || transport.capabilities.isLocal) return []
  const after = 'it throws PublishOutcomeUnknownError: the message may be there'
  return [{ what: 'send()', setting: 'sendDeadlineMs', ms: windows.sendDeadlineMs, after }]
}

function consumerWindows(input: CompileInput): readonly Window[] {
  const all: Window[] = []
  for (const consumer of input.consumers) {
    const form = consumerForm(input, consumer)
    all.push({
      what: `a handler of ${consumer.name}`,
      setting: 'handlerTimeoutMs',
      ms: consumer.handlerTimeoutMs,
      after:
        form === 'settle-first'
          ? 'its signal aborts, its transaction rolls back, and the message counts as lost'
          : 'its signal aborts, its transaction rolls back, and the attempt counts as failed',
    })
    if (form === 'settle-first') continue
    all.push({
      what: `${attemptsOf(input)} attempts of ${consumer.name}`,
      setting: 'maxAttempts',
      ms: consumerSpanMs(input, consumer),
      after:
        input.transport.capabilities.isLocal && input.channel.onPoison === 'block'
          ? 'the message waits for an operator, and its key with it'
          : 'the message becomes a dead letter',
    })
  }
  const forms = input.consumers.map((consumer) => consumerForm(input, consumer))
  return [...all, ...memoryWindows(input, forms)]
}

/** How late a copy can come, and how long it is known as one. */
function memoryWindows(input: CompileInput, forms: readonly ConsumerForm[]): readonly Window[] {
  const { isLocal, settles, redeliveryMs } = input.transport.capabilities
  if (isLocal || !settles || forms.every((form) => form === 'settle-first')) return []
  const all: Window[] = [
    {
      what: 'redelivery by the transport',
      ms: redeliveryMs,
      after: 'the transport has dropped the message and cannot hand it over again',
    },
  ]
  if (forms.includes('inbox')) {
    all.push({
      what: 'memory of the inbox',
      setting: 'inboxRetentionMs',
      ms: input.windows.inboxRetentionMs,
      after:
        'a copy is handled again: one of a replay, or of a relay that was cut off from the broker for that long',
    })
  }
  return all
}
