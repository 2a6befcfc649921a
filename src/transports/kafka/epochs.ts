/** As whom a batch is written. */
export interface ProducerIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

/** The broker keeps it in 16 bits. */
const lastEpoch = 32_767

/**
 * As whom a dispatcher writes: under a new epoch as soon as something goes to a partition over another connection than before. One that was
 * given up may still deliver what it holds, long after the next one has sent what stands behind that in its keys; nobody can take it back,
 * least of all out of TLS. But a broker that has a batch of a newer epoch refuses those of an older one (KIP-98), so what comes too late
 * is lost instead of out of order. A producer may count its epochs by itself (KIP-360).
 */
export class Epochs {
  #current: ProducerIdentity | null = null

  /** `null`: to be asked for. */
  get current(): ProducerIdentity | null {
    return this.#current
  }

  begin({ producerId, producerEpoch }: ProducerIdentity): void {
    this.#current = { producerId, producerEpoch }
  }

  next(): void {
    if (this.#current === null) return
    const { producerId, producerEpoch } = this.#current
    this.#current = producerEpoch < lastEpoch ? { producerId, producerEpoch: producerEpoch + 1 } : null
  }
}
