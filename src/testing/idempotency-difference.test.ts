import { describe, expect, it } from 'vitest'
import { compareStates } from './idempotency-difference.ts'

const keys = { orders: ['id'] }

describe('the comparison of states', () => {
  it('finds none between the same rows in another order, with other orders of columns', () => {
    const a = {
      orders: [
        { id: 1, tags: { a: 1, b: 2 } },
        { id: 2n, tags: null },
      ],
    }
    const b = {
      orders: [
        { tags: null, id: 2n },
        { tags: { b: 2, a: 1 }, id: 1 },
      ],
    }
    expect(compareStates(a, b)).toEqual([])
  })

  it('counts a row that stands twice', () => {
    const row = { entry: 'x' }
    expect(compareStates({ log: [row] }, { log: [row, row] })).toEqual([
      { table: 'log', more: 1, less: 0, different: 0, first: { kind: 'more', key: {}, columns: [] } },
    ])
  })

  it('tells rows that are more, less and different, by their key', () => {
    const expected = {
      orders: [
        { id: 1, status: 'new' },
        { id: 2, status: 'new' },
      ],
    }
    const found = {
      orders: [
        { id: 1, status: 'paid' },
        { id: 3, status: 'new' },
      ],
    }
    expect(compareStates(expected, found, { keys })).toEqual([
      {
        table: 'orders',
        more: 1,
        less: 1,
        different: 1,
        first: { kind: 'different', key: { id: 1 }, columns: ['status'] },
      },
    ])
  })

  it('shows values only where it is told to', () => {
    const expected = { orders: [{ id: 1, status: 'secret' }] }
    const [hidden] = compareStates(expected, { orders: [] }, { keys })
    expect(JSON.stringify(hidden)).not.toContain('secret')
    const [shown] = compareStates(expected, { orders: [] }, { keys, showRows: true })
    expect(shown!.first).toMatchObject({ kind: 'less', expected: { id: 1, status: 'secret' } })
  })

  it('finds a table that only one of them has', () => {
    expect(compareStates({}, { orders: [{ id: 1 }] })).toMatchObject([{ table: 'orders', more: 1 }])
    expect(compareStates({ orders: [{ id: 1 }] }, {})).toMatchObject([{ table: 'orders', less: 1 }])
  })

  it('does not compare what may differ, but still counts rows', () => {
    const ignore = ['orders.id', 'orders.at']
    const expected = { orders: [{ id: 1, at: 1, status: 'new' }] }
    expect(compareStates(expected, { orders: [{ id: 7, at: 9, status: 'new' }] }, { keys, ignore })).toEqual(
      [],
    )
    const twice = { orders: [...expected.orders, { id: 2, at: 2, status: 'new' }] }
    expect(compareStates(expected, twice, { keys, ignore })).toMatchObject([{ more: 1 }])
  })

  it('compares a generated key after all in rows that stood there before', () => {
    const before = {
      orders: [
        { id: 1, status: 'new' },
        { id: 2, status: 'new' },
      ],
    }
    const first = {
      orders: [
        { id: 1, status: 'paid' },
        { id: 2, status: 'new' },
      ],
    }
    const second = {
      orders: [
        { id: 1, status: 'new' },
        { id: 2, status: 'paid' },
      ],
    }
    const ignore = ['orders.id']
    expect(compareStates(first, second, { keys, ignore, before })).toMatchObject([{ different: 2 }])
  })
})
