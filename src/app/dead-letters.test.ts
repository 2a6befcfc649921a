import { describe, expect, it } from 'vitest'
import type {
  DeadLetterFilter,
  DeadLetters,
  DeadLetterSummary,
  DeadLetterTarget,
} from '../ports/dead-letters.ts'
import { createDeadLetterDesk, type DeadLetterDesk } from './dead-letters.ts'

type Line = Readonly<Record<string, unknown>>

/** Dead letters in memory, of one channel; those with key `p` are of a parked key. */
class Letters implements DeadLetters {
  letters: DeadLetterSummary[]
  readonly targets: DeadLetterTarget[] = []
  readonly filters: DeadLetterFilter[] = []

  constructor(keys: readonly (string | null)[]) {
    this.letters = keys.map((key, i) => ({
      number: i + 1,
      id: `id-${i + 1}`,
      channel: 'orders',
      key,
      createdAt: new Date(0),
      consumer: '',
      reason: 'rejected',
      attempts: 1,
      errorCode: 'E',
      error: 'e',
      diedAt: new Date(0),
      ageMs: 1000 * (i + 1),
      isFromBroker: key === 'b',
      isKeyParked: key === 'p',
      replayAt: null,
    }))
  }

  async list(filter: DeadLetterFilter, page: { after?: number | undefined; limit: number }) {
    this.filters.push(filter)
    return this.letters
      .filter(({ key }) => filter.key === undefined || key === filter.key)
      .filter(({ number }) => number > (page.after ?? 0) && number <= (filter.upTo ?? Infinity))
      .slice(0, page.limit)
  }

  find = async (): Promise<readonly never[]> => []

  async count(filter: DeadLetterFilter) {
    const fit = filter.numbers === undefined ? await this.list(filter, { limit: Infinity }) : []
    return { messages: fit.length, ofParkedKeys: 0, parkedKeys: [], upTo: this.letters.at(-1)?.number ?? 0 }
  }

  async replay(target: DeadLetterTarget) {
    return { returned: this.#take(target), asked: 0, left: [] }
  }

  async purge(target: DeadLetterTarget) {
    return { purged: this.#take(target), left: [] }
  }

  #take(target: DeadLetterTarget): number {
    this.targets.push(target)
    const isMeant = ({ number, key }: DeadLetterSummary): boolean =>
      'numbers' in target ? target.numbers.includes(number) : key === target.key.key
    const taken = this.letters.filter(isMeant)
    this.letters = this.letters.filter((letter) => !isMeant(letter))
    // What was delivered again fails at once, and is given up anew.
    const last = Math.max(1000, ...this.letters.map(({ number }) => number))
    this.letters.push(...taken.map((letter, i) => ({ ...letter, number: last + i + 1 })))
    return taken.length
  }
}

function setUp(
  keys: readonly (string | null)[],
  expiresAfterMs?: number,
): {
  letters: Letters
  desk: DeadLetterDesk
  logged: Line[]
  wakes: () => number
} {
  const letters = new Letters(keys)
  const logged: Line[] = []
  let wakes = 0
  const ignore = (): void => {}
  const desk = createDeadLetterDesk({
    store: () => ({ deadLetters: letters }),
    logger: { debug: ignore, warn: ignore, error: ignore, info: (fields) => logged.push(fields) },
    expiresAfterMs: (channel) => (channel === 'orders' ? expiresAfterMs : undefined),
    onReturned: () => (wakes += 1),
  })
  return { letters, desk, logged, wakes: () => wakes }
}

const many = (n: number, key: string | null = null): (string | null)[] => Array.from({ length: n }, () => key)

describe('the desk of dead letters', () => {
  it('replays page by page, and not what is given up again meanwhile', async () => {
    const { letters, desk, wakes } = setUp(many(700))
    expect(await desk.replay({ channel: 'orders' })).toEqual({ returned: 700, asked: 0, keys: 0, left: [] })
    expect(letters.targets.map((target) => ('numbers' in target ? target.numbers.length : 'key'))).toEqual([
      500, 200,
    ])
    expect(letters.letters).toHaveLength(700)
    expect(wakes()).toBe(1)
  })

  it('brings a parked key back once, though many of its messages fit', async () => {
    const { letters, desk } = setUp(['p', 'a', ...many(600, 'p')])
    expect(await desk.replay({ all: true })).toMatchObject({ returned: 602, keys: 1 })
    expect(letters.targets.filter((target) => 'key' in target)).toEqual([
      { key: { consumer: '', channel: 'orders', key: 'p' } },
    ])
  })

  it('keeps to a limit, and to what was there when somebody looked', async () => {
    const { desk, letters } = setUp(many(5))
    expect(await desk.count({ all: true }, { limit: 2 })).toMatchObject({ messages: 2 })
    expect(await desk.replay({ all: true }, { limit: 2 })).toMatchObject({ returned: 2 })
    expect(letters.targets).toEqual([{ numbers: [1, 2] }])
    expect(await desk.purge({ all: true, upTo: 4 })).toMatchObject({ purged: 2 })
    expect(letters.targets[1]).toEqual({ numbers: [3, 4] })
  })

  it('purges a parked key only where the key itself is named', async () => {
    const { desk, letters } = setUp(['p', 'a', 'p'])
    expect(await desk.purge({ channel: 'orders' })).toEqual({
      purged: 1,
      keys: 0,
      left: [{ why: 'key-parked', count: 2 }],
    })
    expect(await desk.purge({ channel: 'orders', key: 'p', reason: 'follower' })).toMatchObject({ keys: 0 })
    expect(letters.targets).toEqual([{ numbers: [2] }])
    expect(await desk.purge({ channel: 'orders', key: 'p', upTo: 1000 })).toMatchObject({ keys: 1, left: [] })
  })

  it('leaves what a relay would let expire, and nothing that its consumer runs itself', async () => {
    const { desk, letters } = setUp(['a', 'a', 'a', 'b'], 2500)
    expect(await desk.replay({ all: true })).toMatchObject({
      returned: 3,
      left: [{ why: 'expired', count: 1 }],
    })
    expect(letters.targets).toEqual([{ numbers: [1, 2, 4] }])
    expect(await desk.purge({ numbers: [3] })).toMatchObject({ left: [] })
  })

  it('leaves a parked key as a whole where a relay would let some of it expire', async () => {
    const keys = [...many(1200, 'p'), 'a']
    const { desk, letters } = setUp(keys, 1_200_500)
    letters.letters.push({ ...letters.letters[0]!, number: 5000, ageMs: 1_200_501 })
    expect(await desk.replay({ channel: 'orders', key: 'p' })).toMatchObject({
      returned: 0,
      keys: 0,
      left: [{ why: 'key-expired', count: 1201 }],
    })
    expect(letters.targets).toEqual([])
    letters.letters.pop()
    expect(await desk.replay({ channel: 'orders', key: 'p' })).toMatchObject({
      returned: 1200,
      keys: 1,
      left: [],
    })
  })

  it('says who changed what, without a payload, also where it failed', async () => {
    const { desk, letters, logged } = setUp(['a'])
    await desk.replay({ channel: 'orders' })
    expect(logged).toEqual([
      {
        action: 'dead.replay',
        user: expect.any(String),
        host: expect.any(String),
        filter: { channel: 'orders' },
        returned: 1,
        asked: 0,
        keys: 0,
        left: [],
      },
    ])
    letters.purge = async () => {
      throw new Error('the database is down')
    }
    await expect(desk.purge({ all: true })).rejects.toThrow('down')
    expect(logged[1]).toMatchObject({ action: 'dead.purge', purged: 0 })
  })

  it('ends between two transactions where it is told to', async () => {
    const { desk, letters } = setUp(many(1200))
    const stop = new AbortController()
    const { replay } = letters
    letters.replay = async (target) => {
      stop.abort()
      return await replay.call(letters, target)
    }
    expect(await desk.replay({ all: true }, { signal: stop.signal })).toMatchObject({ returned: 500 })
  })

  it.each([
    [{}, 'names nothing'],
    [{ upTo: 5 }, 'names nothing'],
    [{ channel: undefined }, 'names nothing'],
    [{ chanel: 'x' }, 'Did you mean "channel"?'],
    [{ channel: 5 }, 'channel must be a text'],
    [{ ids: ['5'] }, 'ids must be a list of UUIDs'],
    [{ numbers: [1.5] }, 'numbers must be a list of whole numbers'],
    [{ reason: 'bored' }, 'reason must be one of attempts-exhausted'],
    [{ olderThanMs: 1e15 }, 'of 100 years at most'],
    [{ olderThanMs: -1 }, 'olderThanMs must be a number of milliseconds'],
    [null, 'A filter is an object'],
  ])('refuses the filter %j, and changes nothing', async (filter, message) => {
    const { desk, letters } = setUp(['a'])
    await expect(desk.replay(filter as never)).rejects.toThrow(message)
    await expect(desk.purge(filter as never)).rejects.toThrow(message)
    expect(letters.targets).toEqual([])
  })

  it.each([0, 1.5, 1001])('lists no page of %d', async (limit) => {
    await expect(setUp([]).desk.list({}, { limit })).rejects.toThrow('a whole number from 1 to 1000')
  })

  it.each([
    [{ limitt: 5 }, 'A page has no "limitt". Did you mean "limit"?'],
    [{ after: -1 }, 'after must be a whole number'],
    [{ after: 'x' }, 'after must be a whole number'],
  ])('lists no page %j', async (page, message) => {
    await expect(setUp([]).desk.list({}, page as never)).rejects.toThrow(message)
  })

  it('changes nothing where what was to bound it is misspelt', async () => {
    const { desk, letters } = setUp(['a'])
    const options = { limti: 1 } as never
    await expect(desk.replay({ all: true }, options)).rejects.toThrow('Did you mean "limit"?')
    await expect(desk.purge({ all: true }, options)).rejects.toThrow('Did you mean "limit"?')
    expect(letters.targets).toEqual([])
  })
})
