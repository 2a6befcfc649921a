import { expect, test } from 'vitest'
import type { AddressList } from '../ports/address-desk.ts'
import type { TransportDefinition } from '../ports/transport.ts'
import { Grounds } from './grounds.ts'

function groundsWith(list: () => Promise<AddressList>): Grounds {
  const transport = {
    openDesk: async () => ({ list, close: async () => {} }),
  } as unknown as TransportDefinition
  return new Grounds([{ transport, addresses: [], consumers: [] }])
}

test('what a broker has of other runs is told by run, unless a consumer of theirs is there', async () => {
  const [own, dead, alive] = ['waybill_prove_00000001', 'waybill_prove_0000dead', 'waybill_prove_00a11fe0']
  const grounds = groundsWith(async () => ({
    addresses: [`${own}.a`, `${dead}.a`, `${dead}-positions`, `${alive}-1.a`, 'waybill_prove_mine', 'orders'],
    consumers: [
      { name: `${dead}.c`, hasMembers: false },
      { name: `${alive}.c`, hasMembers: true },
      { name: 'billing', hasMembers: true },
    ],
  }))
  expect(await grounds.remnants(own)).toEqual([dead])
})

test('what a broker does not list is not known', async () => {
  const grounds = groundsWith(() => Promise.reject(new Error('not allowed')))
  expect(await grounds.remnants('waybill_prove_00000001')).toEqual([])
})
