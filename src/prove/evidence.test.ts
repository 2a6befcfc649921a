import { expect, test } from 'vitest'
import { event, history } from '../../test/fakes/history.ts'
import type { Query } from '../demo/database.ts'
import { evidenceOf } from './evidence.ts'

test('a dead letter is one of the key its message was written under, whatever the store calls that', async () => {
  const told = history([
    event('invoke', 'write', 'm1', { key: 'orders/shipping ann' }),
    event('ok', 'write', 'm1', { key: 'orders/shipping ann', seq: 1 }),
  ])
  const query: Query = async (text) => (text.includes('.dead') ? [{ id: 'm1', key: 'ann', t: 9 }] : [])
  const judged = { name: 'orders/shipping', names: { channel: 'orders', consumer: 'shipping' } }
  const place = { schema: 'run', loadSchema: 'run_load' }
  const found = await evidenceOf(query, place, judged, told, { offset: 0, marks: new Set() })
  expect(found.filter(({ f }) => f === 'dead')).toMatchObject([
    { id: 'm1', key: 'orders/shipping ann', t: 9 },
  ])
})
