import { systemClock } from '../../kernel/clock.ts'
import type { DispatchProducer } from './dispatch-producer.ts'
import { kafkaErrorName } from './kafka-error.ts'
import type { TopicDesk, TopicState } from './topic-desk.ts'

const refreshMs = 5000
const pauseMs = 50

interface Known {
  readonly state: { readonly partitions: number }
  at: number
}

/**
 * The topics whose leaders are known to lead. The first send on a topic waits until they do; afterwards they are looked up
 * beside the sending, which waits for no answer.
 */
export class ReadyTopics {
  readonly #producer: DispatchProducer
  readonly #topics: TopicDesk
  readonly #known = new Map<string, Known>()

  constructor(producer: DispatchProducer, topics: TopicDesk) {
    this.#producer = producer
    this.#topics = topics
    producer.client.on('client:broker:disconnect', () => this.#forget())
  }

  /** As {@link TopicDesk.find}, and each leader answers. */
  async find(
    topic: string,
    signal: AbortSignal,
    onTrouble: (code: string) => void,
  ): Promise<TopicState | undefined> {
    const known = this.#known.get(topic)
    if (known !== undefined && this.#producer.isIdentified()) {
      if (systemClock.now() - known.at > refreshMs) void this.#refresh(topic, known)
      return known.state
    }
    const { client, identify, probe } = this.#producer
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const state = await this.#topics.find(client, topic, signal, onTrouble)
      if (state === undefined || 'code' in state) return state
      try {
        await identify()
        await probe(topic)
        this.#known.set(topic, { state, at: systemClock.now() })
        return state
      } catch (error) {
        onTrouble(kafkaErrorName(error))
        client.clearMetadata()
      }
    }
    return undefined
  }

  async #refresh(topic: string, known: Known): Promise<void> {
    known.at = systemClock.now()
    const { client, probe } = this.#producer
    try {
      const metadata = await client.metadata({ topics: [topic], forceUpdate: true, retries: 0 })
      await probe(topic)
      const state = { partitions: metadata.topics.get(topic)!.partitionsCount }
      if (this.#known.get(topic) === known) this.#known.set(topic, { state, at: known.at })
    } catch {
      this.#forget()
    }
  }

  /** A broker that went may have taken its partitions with it. */
  #forget(): void {
    this.#known.clear()
    this.#producer.client.clearMetadata()
  }
}
