import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { CommitOutcomeUnknownError } from '../../../src/index.ts'
import { failpoint } from '../../../src/kernel/failpoint.ts'
import { readHistory, recordHistory } from '../../../src/testing.ts'
import { open, placed, settings } from './parts.ts'

// A writer that was killed goes on after its last attempt; what became of that one is for the database to say.
const before = existsSync(settings.history) ? readHistory([settings.history]) : []
const attempted = before.filter((event) => event.f === 'write' && event.type === 'invoke').length
const history = recordHistory(settings.history)
const waybill = open(settings.producerUrl, false)

class Regret extends Error {}

for (let i = attempted; i < settings.orders; i++) {
  const id = randomUUID()
  const customer = `c${i % 4}`
  history.note({ type: 'invoke', f: 'write', key: customer, id })
  try {
    const seq = await waybill.transaction(async (tx) => {
      failpoint('writer.after-begin')
      const counted = await tx.query(
        'update customers set orders = orders + 1 where id = $1 returning orders',
        [customer],
      )
      const place = (counted.rows[0] as { orders: number }).orders
      await tx.query('insert into orders (id, customer, place) values ($1, $2, $3)', [id, customer, place])
      failpoint('writer.after-business')
      if (i % 7 === 3) {
        await tx.query('savepoint whim')
        await waybill.publish(tx, placed, { orderId: id, customer, place: -1 })
        await tx.query('rollback to savepoint whim')
      }
      await waybill.publish(tx, placed, { orderId: id, customer, place }, { id })
      failpoint('writer.after-publish')
      if (i % 5 === 4) throw new Regret('the customer changed their mind')
      return place
    })
    failpoint('writer.after-commit')
    history.note({ type: 'ok', f: 'write', key: customer, seq, id })
  } catch (error) {
    if (error instanceof Regret) history.note({ type: 'fail', f: 'write', key: customer, id })
    else if (!settings.isPatient) throw error
    // What was told as unknown is unknown (A5); what failed has nothing stored (A4).
    else if (error instanceof CommitOutcomeUnknownError)
      history.note({ type: 'info', f: 'write', key: customer, id })
    else {
      history.note({ type: 'fail', f: 'write', key: customer, id })
      await pause(100)
    }
  }
}
await waybill.stop()
