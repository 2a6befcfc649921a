import type { Delivery } from '../../ports/transport.ts'

const mostDeliveries = 2000
const mostBytes = 8 * 1_048_576

/** What was fetched and not handed over yet. Fetching goes on only while there is room, so memory stays bounded (F28). */
export class Inflow {
  #queue: Delivery[] = []
  #head = 0
  #bytes = 0

  get hasRoom(): boolean {
    return this.size < mostDeliveries && this.#bytes < mostBytes
  }

  get size(): number {
    return this.#queue.length - this.#head
  }

  push(delivery: Delivery): void {
    this.#queue.push(delivery)
    this.#bytes += bytesOf(delivery)
  }

  take(most: number): Delivery[] {
    const taken = this.#queue.slice(this.#head, this.#head + most)
    this.#head += taken.length
    for (const delivery of taken) this.#bytes -= bytesOf(delivery)
    // Shifting an array costs its length at each call; this costs it once for each fill.
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
    }
    return taken
  }
}

/** With the headers: what others write may be nearly all headers. */
function bytesOf({ envelope, raw }: Delivery): number {
  if (envelope === null) return raw?.payload.length ?? 0
  let bytes = envelope.payload.length + (envelope.key?.length ?? 0)
  for (const name in envelope.headers) bytes += name.length + envelope.headers[name]!.length
  return bytes
}
