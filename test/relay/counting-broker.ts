import { appendFileSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { systemClock } from '../../src/kernel/clock.ts'
import type { OutboundMessage, TransportDefinition } from '../../src/ports/transport.ts'
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

/**
 * A broker that writes every copy it gets into a file, which relays of several processes share: whatever came twice is there
 * twice, in the order in which it came. It has a message some time after it was sent, and some time before it says so.
 */
export function countingBroker(ledger: string, options: { readonly hangs: boolean }): TransportDefinition {
  const publish = async (batch: readonly OutboundMessage[]): Promise<{ outcome: 'confirmed' }[]> => {
    if (options.hangs) {
      writeSync(1, 'sending\n')
      return await new Promise(() => {})
    }
    await systemClock.sleep(4)
    appendFileSync(ledger, batch.map((message) => `${JSON.stringify(copyOf(message))}\n`).join(''))
    await systemClock.sleep(4)
    return batch.map(() => ({ outcome: 'confirmed' }))
  }
  return publishing('counting', publish)
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
