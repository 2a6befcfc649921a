import { durationText } from './duration.ts'
import { consumerForm, relayForm, sendForm } from './forms.ts'
import type { CompileInput, ConsumerForm, Hop, RelayForm } from './plan.ts'
import { attemptsOf } from './windows.ts'

type Sentences = Omit<Hop, 'step' | 'consumer'>

/** The way of a message, hop by hop, in sentences for people. */
export function hopsOf(input: CompileInput): readonly Hop[] {
  const relay = relayForm(input)
  const hops: Hop[] = []
  if (input.channel.isStored) hops.push({ step: 'publish', ...publishing(input) })
  if (sendForm(input) !== 'none') hops.push({ step: 'send', ...sending(input) })
  if (relay !== 'none') hops.push({ step: 'relay', ...relaying(input, relay) })
  if (!input.transport.capabilities.isLocal) hops.push({ step: 'transport', ...carrying(input) })
  for (const consumer of input.consumers) {
    const form = consumerForm(input, consumer)
    hops.push({ step: 'consume', consumer: consumer.name, ...consuming(input, form) })
  }
  return hops
}

function publishing({ channel }: CompileInput): Sentences {
  const order = channel.ordered
    ? ' Its key is locked until then: the order of numbers is that of commits.'
    : ''
  return {
    how: `In the caller's transaction: the message is there if and only if it commits.${order}${limitText(channel)}`,
  }
}

function limitText({ backlogLimit }: CompileInput['channel']): string {
  if (backlogLimit === undefined) return ''
  const { maxPending, whenFull } = backlogLimit
  const what = whenFull === 'refuse' ? 'Refused' : 'Logged with a warning'
  return ` ${what} while ${maxPending} of its messages or more wait, counted about once a second.`
}

function sending(input: CompileInput): Sentences {
  const { channel, transport, windows } = input
  if (transport.capabilities.isLocal)
    return { how: 'Without a transaction: stored in one of its own, as publish does.' }
  if (sendForm(input) === 'dispatch') {
    return {
      how: 'Without a transaction: handed to the network once; nothing is stored, awaited or tried again.',
      mayHappen:
        'What the network drops, or a broker that ends before it has read it, is lost, and nobody can count it.',
    }
  }
  const outbox = channel.isStored ? '' : ' Nothing is stored: a crash of the caller forgets it.'
  return {
    how: `Without a transaction: sent until it is confirmed, with the same id, for ${durationText(windows.sendDeadlineMs)} at most.${outbox}`,
    mayHappen:
      'Each attempt without an answer may have put a copy on the wire; after the deadline the caller is told that the outcome is unknown.',
  }
}

/** What becomes of a message that is given up, and of what stands behind it. */
function poison(input: CompileInput, attempt: 'rejected' | 'failed'): string {
  const { ordered, onPoison } = input.channel
  const what = `What ${attempt === 'rejected' ? 'is rejected' : 'fails'} ${attemptsOf(input)} times`
  if (!ordered) return `${what} becomes a dead letter.`
  switch (onPoison) {
    case 'block':
      return `${what} stays, and its key waits for an operator: its order is kept. Other keys go on.`
    case 'park':
      return `${what} becomes a dead letter, and what follows it in its key is kept beside it: replayed together, they keep their order. Other keys go on.`
    case 'skip':
      return `${what} becomes a dead letter, and its key goes on: a replay comes after what followed it.`
  }
}

function relaying(input: CompileInput, form: RelayForm): Sentences {
  const { transport } = input
  switch (form) {
    case 'handlers':
      return {
        how: `No broker: each consumer's own relay reads the outbox and runs its handlers.${
          input.channel.guarantee === 'at-most-once' ? '' : ` ${poison(input, 'failed')}`
        }`,
      }
    case 'take':
      return {
        how: 'Deleted by a durable statement, then sent once.',
        mayHappen: 'A fault between the two loses the message; the loss is counted.',
      }
    case 'fence':
      return {
        how: `A batch and the note of what it holds in one transaction of ${transport.kind}, fenced against every earlier relay; deleted after its commit. ${poison(input, 'rejected')}`,
      }
    case 'confirm': {
      const order =
        input.channel.ordered && !transport.capabilities.ordersBatch
          ? ' One message of a key is under way at a time.'
          : ''
      return {
        how: `Sent, confirmed, then deleted. ${poison(input, 'rejected')}${order}`,
        mayHappen: 'A crash or a lost answer after the send puts one more copy on the wire.',
      }
    }
  }
}

function carrying({ channel, transport }: CompileInput): Sentences {
  const { keepsOrder, settles, redeliveryMs, deduplicatesMs } = transport.capabilities
  const sentences = [
    ...(channel.ordered && keepsOrder ? ['Keeps the order of a key.'] : []),
    ...(deduplicatesMs === null ? [] : [`Drops copies of an id for ${durationText(deduplicatesMs)}.`]),
  ]
  if (!settles) {
    return {
      how: [...sentences, 'Hands a message over once.'].join(' '),
      mayHappen: 'What is sent while nobody listens is lost, and nobody can count it.',
    }
  }
  const bound = redeliveryMs === null ? '' : `, for ${durationText(redeliveryMs)} at most`
  return { how: [...sentences, `Hands over again what was not settled${bound}.`].join(' ') }
}

function consuming(input: CompileInput, form: ConsumerForm): Sentences {
  const { channel, transport } = input
  const { isLocal, settles } = transport.capabilities
  switch (form) {
    case 'settle-first':
      if (isLocal) {
        return {
          how: 'Taken by a durable statement before the handler starts.',
          mayHappen: 'A handler that fails, or a process that ends, loses the message; the loss is counted.',
        }
      }
      return {
        how: settles
          ? "Settled, and the broker's answer read, before the handler starts."
          : 'The handler runs once for what arrives.',
        mayHappen:
          'A handler that fails loses the message, and so does an answer of the broker that stays away, or a rebalance between the two; that is counted. What a process had in hand when it ended is not.',
      }
    case 'settle-after': {
      const declared = channel.guarantee === 'effectively-once' ? ' The handler is declared idempotent.' : ''
      return {
        how: isLocal
          ? `The row is deleted after the handler's transaction has committed.${declared}`
          : `Settled after the handler's transaction has committed.${declared}`,
        mayHappen: 'A crash between the two runs the handler once more.',
      }
    }
    case 'inbox':
      return {
        how: isLocal
          ? "In the handler's transaction: the row goes (or, with several consumers, an inbox row comes) with the effect."
          : "The id is noted in the inbox in the handler's transaction; settled after its commit. A copy is not handled.",
      }
    case 'checkpoint':
      return {
        how: "The position in the stream moves in the handler's transaction, and the consumer starts from there: no inbox row.",
      }
    case 'transform':
      return { how: `Position and outputs in one transaction of ${transport.kind}, without the store.` }
  }
}
