import { describe, expect, it } from 'vitest'
import type { DeadLetters, DeadLetterTarget, ReplayResult } from '../ports/dead-letters.ts'
import type { HeldKey, Keys, KeyState, LineName } from '../ports/keys.ts'
import { createKeyDesk, type KeyDesk } from './keys.ts'

/** Lines in memory, in order of number. */
class Lines implements Keys {
  lines: readonly HeldKey[]
  readonly unblocked: bigint[] = []
  readonly skipped: bigint[] = []
  readonly replayed: DeadLetterTarget[] = []
  replay: ReplayResult = { returned: 3, asked: 0, left: [] }

  constructor(lines: readonly (readonly [key: string | null, state: KeyState])[]) {
    this.lines = lines.map(([key, state], i) => ({
      consumer: '',
      partition: 0,
      seq: BigInt(i + 1),
      channel: 'orders',
      key,
      id: `id-${i + 1}`,
      state,
      attempts: 1,
      retryAt: null,
      errorCode: 'E',
      error: 'e',
      firstFailedAt: new Date(0),
      parkedMessages: 0,
    }))
  }

  async list(_filter: object, { after, limit }: { after?: LineName | undefined; limit: number }) {
    return this.lines.filter(({ seq }) => seq > (after?.seq ?? 0n)).slice(0, limit)
  }

  count = async (): Promise<number> => this.lines.length

  async unblock(lines: readonly LineName[]): Promise<number> {
    this.unblocked.push(...lines.map(({ seq }) => seq))
    return lines.length
  }

  async skip({ seq }: LineName) {
    this.skipped.push(seq)
    return seq === 4n ? ('gone' as const) : ('skipped' as const)
  }
}

function setUp(lines: readonly (readonly [string | null, KeyState])[]): {
  lines: Lines
  desk: KeyDesk
  logged: object[]
} {
  const keys = new Lines(lines)
  const logged: object[] = []
  const ignore = (): void => {}
  const deadLetters = {
    replay: async (target: DeadLetterTarget) => {
      keys.replayed.push(target)
      return keys.replay
    },
  } as unknown as DeadLetters
  const desk = createKeyDesk({
    store: () => ({ keys, deadLetters }),
    logger: { debug: ignore, warn: ignore, error: ignore, info: (fields) => logged.push(fields) },
    onReturned: ignore,
  })
  return { lines: keys, desk, logged }
}

describe('the desk of held keys', () => {
  it('unblocks page by page, and leaves parked keys', async () => {
    const many = Array.from({ length: 1100 }, (_, i) => [`k${i}`, i === 700 ? 'parked' : 'blocked'] as const)
    const { lines, desk, logged } = setUp(many)
    expect(await desk.unblock({ state: 'blocked' })).toEqual({ unblocked: 1099, parked: 1 })
    expect(new Set(lines.unblocked).size).toBe(1099)
    expect(lines.unblocked).not.toContain(701n)
    expect(logged).toMatchObject([{ action: 'keys.unblock', filter: { state: 'blocked' }, unblocked: 1099 }])
  })

  it('skips one message for each key, and each that stands alone', async () => {
    const { lines, desk, logged } = setUp([
      ['a', 'blocked'],
      ['a', 'retrying'],
      [null, 'retrying'],
      [null, 'retrying'],
      ['b', 'blocked'],
    ])
    expect(await desk.skip({ all: true })).toEqual({ skipped: 3, gone: 1, returned: 0, left: [] })
    expect(lines.skipped).toEqual([1n, 3n, 4n, 5n])
    expect(logged).toMatchObject([{ action: 'keys.skip', skipped: 3, gone: 1 }])
  })

  it('leaves the head of a parked key dead, and brings its followers back', async () => {
    const { lines, desk } = setUp([['a', 'parked']])
    expect(await desk.skip({ channel: 'orders', key: 'a' })).toEqual({
      skipped: 1,
      gone: 0,
      returned: 3,
      left: [],
    })
    expect(lines.replayed).toEqual([
      { key: { consumer: '', channel: 'orders', key: 'a' }, withoutHead: true },
    ])
  })

  it('says why messages stay parked, added up over keys', async () => {
    const { lines, desk, logged } = setUp([
      ['a', 'parked'],
      ['b', 'parked'],
    ])
    const left = [
      { why: 'no-place', count: 2 },
      { why: 'no-channel', count: 1 },
    ] as const
    lines.replay = { returned: 0, asked: 0, left }
    const sum = left.map(({ why, count }) => ({ why, count: 2 * count }))
    expect(await desk.skip({ all: true })).toEqual({ skipped: 0, gone: 0, returned: 0, left: sum })
    expect(logged).toMatchObject([{ action: 'keys.skip', left: sum }])
  })

  it('keeps to a limit, and ends where it is told to', async () => {
    const { lines, desk } = setUp([
      ['a', 'blocked'],
      ['b', 'blocked'],
      ['c', 'blocked'],
    ])
    expect(await desk.unblock({ all: true }, { limit: 2 })).toMatchObject({ unblocked: 2 })
    expect(await desk.skip({ all: true }, { signal: AbortSignal.abort() })).toMatchObject({ skipped: 0 })
    expect(lines.skipped).toEqual([])
  })

  it.each([
    [{}, 'names nothing'],
    [{ state: 'held' }, 'state must be one of retrying, blocked, parked'],
    [{ reason: 'rejected' }, 'A filter has no "reason"'],
  ])('refuses the filter %j, and changes nothing', async (filter, message) => {
    const { lines, desk } = setUp([['a', 'blocked']])
    await expect(desk.unblock(filter as never)).rejects.toThrow(message)
    await expect(desk.skip(filter as never)).rejects.toThrow(message)
    await expect(desk.count(filter as never)).rejects.toThrow(message)
    expect([...lines.unblocked, ...lines.skipped]).toEqual([])
  })

  it('changes nothing where what was to bound it is misspelt, and lists no page after what is no key', async () => {
    const { lines, desk } = setUp([['a', 'blocked']])
    const options = { limti: 1 } as never
    await expect(desk.unblock({ all: true }, options)).rejects.toThrow('Did you mean "limit"?')
    await expect(desk.skip({ all: true }, options)).rejects.toThrow('Did you mean "limit"?')
    expect([...lines.unblocked, ...lines.skipped]).toEqual([])
    await expect(desk.list({}, { after: 'a' as never })).rejects.toThrow('after must be a key of the list')
  })
})
