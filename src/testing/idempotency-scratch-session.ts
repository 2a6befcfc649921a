import { describeError, isWaybillError, WaybillError } from '../kernel/errors.ts'
import type { Store } from '../ports/store.ts'
import type { SqlClient } from './idempotency-catalog.ts'
import { claimText, removeLeftovers, Scratch, type InTransaction } from './idempotency-scratch.ts'

const longestCheckMs = 24 * 3_600_000

export interface ScratchSessionOptions {
  readonly tables: readonly string[]
  readonly maxRows: number
  readonly onProgress: (text: string) => void
}

/** The database would not make the copies: nothing can be said of any handler. */
export class CopiesMissing extends Error {
  override readonly name: string = 'CopiesMissing'
}

/** Lends copies of the tables for `work`, and removes them after it. What a killed check left behind goes before. */
export async function withScratch<T>(
  store: Store,
  options: ScratchSessionOptions,
  work: (scratch: Scratch, inTransaction: InTransaction) => Promise<T>,
): Promise<T> {
  const inTransaction: InTransaction = async (statements) => {
    try {
      return await store.transactions.run({ idleTimeoutMs: 60_000 }, ({ handle }) =>
        statements(handle as SqlClient),
      )
    } catch (error) {
      if (isWaybillError(error)) throw error
      const what = 'PostgreSQL refused work on the copies of the tables.'
      throw new WaybillError('WB_STORE_FAILED', what, { cause: error })
    }
  }
  for (const name of await removeLeftovers(inTransaction)) {
    options.onProgress(`Removed the schema ${name}, left by a check that was killed.`)
  }
  const schema = Scratch.newName()
  // A session of its own says for how long the schema is in use. It holds no snapshot, so that it holds up no vacuum.
  return await store.transactions.run({ idleTimeoutMs: longestCheckMs }, async ({ handle }) => {
    await (handle as SqlClient).query(claimText, [schema])
    const scratch = await create(inTransaction, schema, options)
    options.onProgress(`The copies are in the schema ${schema}, which is removed at the end.`)
    try {
      return await work(scratch, inTransaction)
    } finally {
      await remove(scratch, options.onProgress)
    }
  })
}

async function remove(scratch: Scratch, onProgress: (text: string) => void): Promise<void> {
  try {
    await scratch.drop()
    onProgress(`The schema ${scratch.schema} is removed.`)
  } catch (error) {
    const why = describeError(error).message
    onProgress(`The schema ${scratch.schema} could not be removed (${why}): the next check removes it.`)
  }
}

async function create(
  inTransaction: InTransaction,
  schema: string,
  { tables, maxRows }: ScratchSessionOptions,
): Promise<Scratch> {
  try {
    return await Scratch.create(inTransaction, { schema, names: tables, maxRows })
  } catch (error) {
    if (!isWaybillError(error) || error.code !== 'WB_STORE_FAILED') throw error
    // Whoever may not make a schema, or not read one of the tables, is told so by PostgreSQL in words.
    throw new CopiesMissing(`The copies could not be made: ${describeError(error.cause).message}.`, {
      cause: error,
    })
  }
}
