import type { Client } from '../../demo/database.ts'
import type { Waybill } from '../../index.ts'

/** A session of an instance's own database, whatever its configuration says of the way there, until it is given back. */
export async function lendSession(waybill: Waybill<Client>): Promise<Client & { end(): Promise<void> }> {
  const lent = Promise.withResolvers<Client>()
  const over = Promise.withResolvers<void>()
  const transaction = waybill.transaction(async (tx) => {
    // Nobody is to be asked for anything between two of its statements, however long that takes on a busy machine.
    await tx.query('set local idle_in_transaction_session_timeout = 0')
    lent.resolve(tx)
    await over.promise
  })
  transaction.catch(lent.reject)
  const tx = await lent.promise
  return {
    async query(text, values) {
      // What servers do is looked at once in a transaction, and stays as it was.
      await tx.query('select pg_stat_clear_snapshot()')
      return await tx.query(text, values)
    },
    async end() {
      over.resolve()
      await transaction
    },
  }
}
