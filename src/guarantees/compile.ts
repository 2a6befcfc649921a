import { keptMs } from './windows.ts'
import { durationText } from './duration.ts'
import { consumerForm, relayForm, sendForm } from './forms.ts'
import { guaranteeTerms } from './guarantees.ts'
import { hopsOf } from './hops.ts'
import type { CompileInput, Plan, Refusal } from './plan.ts'
import { windowsOf } from './plan-windows.ts'
import { findRefusal } from './refusals.ts'
import { canCheckpoint } from './refusals/store.ts'

/** Pure: from what adapters declare to a plan, or a refusal with its reason and the nearest choice that holds. */
export function compile(input: CompileInput): Plan | Refusal {
  const refusal = findRefusal(input)
  if (refusal !== null) return refusal
  const { channel, store, transport, consumers } = input
  return {
    kind: 'plan',
    channel: channel.name,
    guarantee: channel.guarantee,
    store: store.kind,
    transport: transport.name,
    relay: relayForm(input),
    send: sendForm(input),
    consumers: Object.fromEntries(
      consumers.map((consumer) => [consumer.name, consumerForm(input, consumer)]),
    ),
    hops: hopsOf(input),
    windows: windowsOf(input),
    mayStillHappen: mayStillHappen(input),
    warnings: warningsOf(input),
    offers: offersOf(input),
  }
}

/** What the guarantee itself leaves open, then what the forms add to it. */
function mayStillHappen(input: CompileInput): readonly string[] {
  const { channel, store, transport } = input
  const relay = relayForm(input)
  const forms = new Set(input.consumers.map((consumer) => consumerForm(input, consumer)))
  const all = [guaranteeTerms[channel.guarantee].mayStillHappen]
  if (channel.expiresAfterMs !== undefined) {
    const age = durationText(channel.expiresAfterMs)
    all.push(`A message that could not be sent for ${age} is not sent any more: it is lost, and counted.`)
  }
  const goesOn = [...forms].some((form) => form !== 'settle-first') && !transport.capabilities.isLocal
  if (channel.onPoison !== 'skip' && goesOn) {
    all.push(
      `onPoison: '${channel.onPoison}' holds a key back at the relay. A consumer over ${transport.kind} goes on past its dead letters.`,
    )
  }
  if (relay === 'take' || (relay === 'handlers' && forms.has('settle-first'))) {
    all.push(
      `A fail-over of ${store.kind} to a replica that lags brings back messages that were taken: they are sent a second time.`,
    )
  }
  if (relay === 'fence') {
    all.push(
      `A fail-over of ${store.kind} to a replica that lags may stop exactly-once on a partition, with an error, until an operator accepts what ${transport.kind} has.`,
    )
  }
  if (forms.has('settle-first') && !transport.capabilities.isLocal) {
    all.push(
      'What a consumer had settled and not handled when its process ended is lost without being counted.',
    )
  }
  if (forms.has('inbox') && !transport.capabilities.isLocal) {
    all.push(
      `A fail-over of ${store.kind} that forgets commits forgets the effects of messages that are settled already.`,
    )
  }
  return all
}

function warningsOf(input: CompileInput): readonly string[] {
  const { channel, transport, windows } = input
  const { isLocal, redeliveryMs, deduplicatesMs } = transport.capabilities
  const forms = input.consumers.map((consumer) => consumerForm(input, consumer))
  const all: string[] = []
  if (redeliveryMs === null && !isLocal && forms.includes('inbox')) {
    all.push(
      `"${transport.name}" sets no end to redelivery: a replay of what is older than inboxRetentionMs (${durationText(windows.inboxRetentionMs)}) repeats effects.`,
    )
  }
  const kept = keptMs(input)
  if (kept > windows.inboxRetentionMs && forms.includes('inbox')) {
    all.push(
      `Sent messages are kept for ${durationText(kept)} (retainMs), and the inbox remembers what was handled for ${durationText(windows.inboxRetentionMs)} (inboxRetentionMs): a replay of older ones is handled again.`,
    )
  }
  const positional = input.consumers.filter((_, i) => forms[i] === 'checkpoint' || forms[i] === 'transform')
  if (kept > 0) {
    for (const { name } of positional) {
      all.push(
        `Consumer "${name}" knows messages by their position, and a message that is replayed (retainMs) has a new one: it is handled again.`,
      )
    }
  }
  if (channel.guarantee === 'exactly-once' && relayForm(input) === 'confirm' && deduplicatesMs !== null) {
    for (const { name } of positional) {
      all.push(
        `Consumer "${name}" has no inbox: a copy that a relay sends after ${durationText(deduplicatesMs)}, cut off or stopped meanwhile, is handled again. form: 'inbox' has no such limit.`,
      )
    }
  }
  if (channel.guarantee === 'exactly-once') {
    const trusted = Object.entries(channel.declaredConsumers).filter(([, form]) => form === 'idempotent')
    for (const [name] of trusted) {
      if (input.consumers.some((consumer) => consumer.name === name)) continue
      all.push(`Consumer "${name}" is declared as idempotent: for it exactly-once is as good as its handler.`)
    }
  }
  if (channel.ordered && !channel.isStored) {
    all.push(
      'Order is that of the calls of send() only where each is awaited before the next one of its key.',
    )
  }
  if (sendForm(input) === 'confirm' && !isLocal && windows.sendDeadlineMs <= windows.publishTimeoutMs) {
    all.push('send() has time for one attempt only: sendDeadlineMs is not longer than publishTimeoutMs.')
  }
  return all
}

function offersOf(input: CompileInput): readonly string[] {
  return input.consumers
    .filter((consumer) => consumerForm(input, consumer) === 'inbox' && canCheckpoint(input, consumer))
    .map(
      ({ name }) =>
        `Consumer "${name}" may keep its position in place of an inbox row for each message: form: 'checkpoint'. It then needs no retention, and one process owns a partition at a time.`,
    )
}
