import { failpoint } from '../kernel/failpoint.ts'
import type { Logger } from '../kernel/logger.ts'
import type { CommitResult, Delivery, OutboundMessage } from '../ports/transport.ts'
import type { Membership } from './membership.ts'

export interface StreamTransformsOptions {
  readonly consumer: string
  readonly membership: Pick<Membership, 'commit'>
  readonly timeoutMs: number
  /** What is here of this assignment is void. The next one may be here already: the answer to a commit can come after it. */
  readonly drop: (stream: string, assignment: number) => void
  readonly logger: Logger
}

/** The transactions of the transport in which a transform moves its position with its outputs. */
export class StreamTransforms {
  readonly #options: StreamTransformsOptions

  constructor(options: StreamTransformsOptions) {
    this.#options = options
  }

  /**
   * Everything of a stream up to the last of these deliveries is done, with these outputs. Where it is `refused` or `unknown`
   * nothing of the stream may run any more before it is assigned anew: it might have been handled already.
   */
  async commit(deliveries: readonly Delivery[], outputs: readonly OutboundMessage[]): Promise<CommitResult> {
    const { membership, timeoutMs, drop, consumer, logger } = this.#options
    const { stream, position, assignment } = deliveries.at(-1)!
    failpoint('consumer.before-commit')
    const result = await membership.commit([{ stream, position, assignment }], outputs, timeoutMs)
    failpoint('consumer.after-commit')
    if (result.outcome === 'refused' || result.outcome === 'unknown') {
      drop(stream, assignment)
      const fields = { consumer, stream, ...(result.outcome === 'unknown' ? { code: result.code } : {}) }
      logger.warn(fields, `a transaction of a transform is ${result.outcome}; going on where the broker says`)
    }
    return result
  }
}
