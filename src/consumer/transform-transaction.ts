import { WaybillError } from '../kernel/errors.ts'
import type { CommitResult, OutboundMessage } from '../ports/transport.ts'
import { callEach, type TransactionParts, type TransactionResult } from './batch-transaction.ts'
import type { Ready } from './call-handler.ts'
import { handled } from './outcome.ts'
import type { StreamTransforms } from './stream-transforms.ts'
import { Outputs } from './transform-entry.ts'
import type { WindowEntry } from './window-entry.ts'

/**
 * Runs messages of one stream and commits what they put out with its position, in one transaction of the transport. That begins
 * only when the last handler has ended: until then the outputs are here alone, and a failure leaves nothing behind.
 */
export async function runTransform(
  parts: TransactionParts<WindowEntry>,
  transforms: StreamTransforms,
  ready: readonly Ready<WindowEntry>[],
  attempt: number,
  stop: AbortSignal,
): Promise<TransactionResult> {
  const outputs = new Outputs()
  try {
    await callEach(parts, ready, { tx: outputs, attempt }, stop)
  } catch (error) {
    // Whatever a handler throws when it is told to stop is no failure of its message.
    return { kind: stop.aborted ? 'unavailable' : 'message', error, isBlameless: stop.aborted }
  }
  const deliveries = ready.map(({ item }) => item.ref.delivery)
  const result = await transforms.commit(deliveries, outputs.messages)
  switch (result.outcome) {
    case 'committed':
      return { kind: 'committed', outcomes: ready.map(() => handled) }
    case 'refused':
    case 'unknown':
      // Who is refused may have lost its stream to a handler that let nothing else of the process run.
      return { kind: 'reassigned', error: assignedAnew(result), isBlameless: result.outcome === 'unknown' }
    case 'rejected':
      return rejection(result, outputs.messages)
  }
}

/** One output that is the trouble fails its message; where nothing passes, no message is to blame. */
function rejection(
  { fates }: Extract<CommitResult, { outcome: 'rejected' }>,
  outputs: readonly OutboundMessage[],
): TransactionResult {
  for (const [i, fate] of fates.entries()) {
    if (fate.outcome !== 'rejected' || fate.scope !== 'message' || fate.code === 'WB_ABORTED') continue
    const { id, channel } = outputs[i]!.envelope
    return {
      kind: 'message',
      error: new WaybillError(
        'WB_PUBLISH_REJECTED',
        `Output ${id} on channel "${channel}" was refused (${fate.code}): ${fate.reason}`,
      ),
    }
  }
  const fate = fates.find(({ outcome }) => outcome !== 'confirmed')
  const reason = fate !== undefined && fate.outcome !== 'confirmed' ? ` (${fate.code}): ${fate.reason}` : '.'
  return {
    kind: 'unavailable',
    error: new WaybillError(
      'WB_BROKER_UNREACHABLE',
      `A transaction of outputs and position was not taken${reason}`,
      { retryable: 'yes' },
    ),
    isBlameless: true,
  }
}

function assignedAnew(result: CommitResult): WaybillError {
  return new WaybillError(
    result.outcome === 'unknown' ? 'WB_COMMIT_OUTCOME_UNKNOWN' : 'WB_ABORTED',
    `A transaction of outputs and position is ${result.outcome}: its stream is assigned anew, from what the broker has.`,
    { retryable: 'yes' },
  )
}
