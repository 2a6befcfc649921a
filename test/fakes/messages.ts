import { newMessageId } from '../../src/kernel/ids.ts'
import { headersFrom, type Envelope } from '../../src/kernel/message.ts'

/** An envelope on channel `orders`, whose payload is its name; a stable id for each name. */
export function envelope(name: string, key: string | null = null, more: Partial<Envelope> = {}): Envelope {
  return {
    id: idOf(name),
    channel: 'orders',
    key,
    payload: new TextEncoder().encode(JSON.stringify(name)),
    contentType: 'application/json',
    headers: headersFrom([]),
    createdAt: new Date(0),
    ...more,
  }
}

const ids = new Map<string, string>()

export function idOf(name: string): string {
  const id = ids.get(name) ?? newMessageId()
  ids.set(name, id)
  return id
}
