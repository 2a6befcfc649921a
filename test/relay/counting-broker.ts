import { once } from 'node:events'
import { appendFileSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { systemClock } from '../../src/kernel/clock.ts'
import type { Fate, OutboundMessage, TransportDefinition } from '../../src/ports/transport.ts'
import { publishing } from '../fakes/publishing.ts'

/** What a message of these tests says. */
export interface Counted {
  readonly key: string
  /** Its place among those of its key. */
  readonly place: number
}

export interface Copy extends Counted {
  readonly id: string
  /** The process that sent it. */
  readonly pid: number
}

export interface CountingOptions {
  /** It never answers · it answers when its process is told to stop, and has the messages before that. @default neither */
  readonly hangs?: 'for ever' | 'to the signal'
  /** As long as this file is there it refuses every message of the key `refused`. */
  readonly gate?: string
  readonly onConfirmed?: (id: string) => void
}

/**
 * A broker that writes every copy it gets into a file, which relays of several processes share: whatever came twice is there
 * twice, in the order in which it came. It has a message some time after it was sent, and some time before it says so.
 */
export function countingBroker(ledger: string, options: CountingOptions = {}): TransportDefinition {
  const { hangs, gate, onConfirmed } = options
  const publish = async (batch: readonly OutboundMessage[]): Promise<readonly Fate[]> => {
    if (hangs === 'for ever') {
      writeSync(1, 'sending\n')
      return await new Promise(() => {})
    }
    await systemClock.sleep(4)
    const isShut = gate !== undefined && existsSync(gate)
    const isRefused = ({ envelope }: OutboundMessage): boolean => isShut && envelope.key === 'refused'
    const taken = batch.filter((message) => !isRefused(message))
    appendFileSync(ledger, taken.map((message) => `${JSON.stringify(copyOf(message))}\n`).join(''))
    if (hangs === 'to the signal') {
      const told = once(process, 'SIGTERM')
      writeSync(1, 'sending\n')
      await told
    }
    await systemClock.sleep(4)
    for (const { envelope } of taken) onConfirmed?.(envelope.id)
    return batch.map((message) => (isRefused(message) ? refused : { outcome: 'confirmed' }))
  }
  return publishing('counting', publish)
}

const refused: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'REFUSED',
  reason: 'The gate is shut.',
}

function copyOf({ envelope }: OutboundMessage): Copy {
  const { key, place } = JSON.parse(Buffer.from(envelope.payload).toString('utf8')) as Counted
  return { id: envelope.id, key, place, pid: process.pid }
}

export function copiesIn(ledger: string): readonly Copy[] {
  if (!existsSync(ledger)) return []
  const lines = readFileSync(ledger, 'utf8').split('\n')
  // The last line may be half written.
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Copy)
}
