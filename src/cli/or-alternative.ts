import { describeError, isWaybillError, WaybillError } from '../kernel/errors.ts'

/** Where a server cannot be started because something is not installed, the error says what else can be done. */
export async function orAlternative<T>(work: Promise<T>, alternative: string): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!isWaybillError(error) || error.code !== 'WB_PEER_MISSING') throw error
    throw new WaybillError('WB_PEER_MISSING', `${describeError(error).message}\n${alternative}`)
  }
}
