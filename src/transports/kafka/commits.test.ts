import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { systemClock } from '../../kernel/clock.ts'
import type { CommitArguments, CommitResponse } from './commit-request.ts'
import { Commits, type CommitsOptions } from './commits.ts'

const kGetApi = Symbol('kGetApi')
const illegalGeneration = 22
const staleEpoch = 113

type Request = {
  readonly epoch: number
  readonly offsets: Readonly<Record<string, bigint>>
  /** Answers with a code for each partition that is not taken. */
  readonly answer: (codes?: Readonly<Record<string, number>>) => void
  readonly fail: (error: Error) => void
}

/** A coordinator whose answers the test gives. */
function scene(options: { outlastsAssignments?: boolean; epochs?: number[]; timeoutMs?: number } = {}) {
  const requests: Request[] = []
  const arrivals: (() => void)[] = []
  const connection = Promise.withResolvers<object>()
  let doubts = 0
  const api = {
    async: (...[, , epoch, , , topics]: [connection: object, ...CommitArguments]) =>
      new Promise<CommitResponse>((resolve, reject) => {
        const offsets: Record<string, bigint> = {}
        for (const { name, partitions } of topics) {
          for (const { partitionIndex, committedOffset } of partitions)
            offsets[`${name}/${partitionIndex}`] = committedOffset
        }
        const answer = (codes: Readonly<Record<string, number>> = {}): void => {
          const response = {
            topics: topics.map(({ name, partitions }) => ({
              name,
              partitions: partitions.map(({ partitionIndex }) => {
                return { partitionIndex, errorCode: codes[`${name}/${partitionIndex}`] ?? 0 }
              }),
            })),
          }
          // As the library does: one code makes an error of the whole answer.
          const names: Record<number, string> = { [staleEpoch]: 'STALE_MEMBER_EPOCH' }
          const errors = Object.values(codes).map((code) => ({ apiId: names[code] ?? 'X', canRetry: false }))
          if (errors.length === 0) resolve(response)
          else reject(Object.assign(new Error('refused'), { response, errors }))
        }
        requests.push({ epoch, offsets, answer, fail: reject })
        arrivals.shift()?.()
      }),
  }
  const epochs = options.epochs ?? [7]
  const commits = new Commits({
    kafka: { kGetApi, NetworkError: Error },
    client: { [kGetApi]: (_: string, done: (error: null, found: unknown) => void) => done(null, api) },
    coordinator: { groupId: 'g', connection: () => connection.promise, judge: () => {} },
    membership: {
      memberId: 'm',
      outlastsAssignments: options.outlastsAssignments ?? false,
      get generationId() {
        return epochs.length > 1 ? epochs.shift()! : epochs[0]!
      },
    },
    timeoutMs: options.timeoutMs ?? 30_000,
    onDoubt: () => (doubts += 1),
  } as unknown as CommitsOptions)
  const end = new AbortController()
  return {
    requests,
    end,
    landed: () => commits.landed,
    connect: () => connection.resolve({}),
    doubts: () => doubts,
    commit: (offsets: Readonly<Record<number, bigint>>) =>
      commits.commit(
        Object.entries(offsets).map(([partition, offset]) => ({
          topic: 't',
          partition: Number(partition),
          offset,
        })),
        end.signal,
      ),
    /** The request with this number, from 0. */
    async request(number: number): Promise<Request> {
      while (requests.length <= number) await new Promise<void>((resolve) => arrivals.push(resolve))
      return requests[number]!
    },
  }
}

describe('the commits of an assignment', () => {
  it('do not pause after an answer that took everything: that would be the consumer’s speed', async () => {
    const sleep = vi.spyOn(systemClock, 'sleep')
    onTestFinished(() => sleep.mockRestore())
    const { commit, connect, request } = scene()
    connect()
    const committed = commit({ 0: 5n })
    ;(await request(0)).answer()
    expect([...(await committed)]).toEqual(['t/0'])
    expect(sleep).not.toHaveBeenCalled()
  })

  it('go one at a time; what comes meanwhile goes together, the highest of each stream', async () => {
    const { commit, connect, request } = scene()
    connect()
    const first = commit({ 0: 3n })
    const one = await request(0)
    const rest = [commit({ 0: 9n }), commit({ 1: 4n }), commit({ 0: 5n })]
    one.answer()
    const two = await request(1)
    expect([one.offsets, two.offsets]).toEqual([{ 't/0': 3n }, { 't/0': 9n, 't/1': 4n }])
    two.answer()
    expect(await first).toEqual(new Set(['t/0']))
    for (const taken of await Promise.all(rest)) expect(taken).toEqual(new Set(['t/0', 't/1']))
  })

  it('tell of each stream whether it was taken', async () => {
    const { commit, connect, request } = scene()
    connect()
    const both = commit({ 0: 3n, 1: 3n })
    ;(await request(0)).answer({ 't/1': illegalGeneration })
    expect(await both).toEqual(new Set(['t/0']))
  })

  it('go again with the epoch that followed, where the broker was ahead', async () => {
    const { commit, connect, request } = scene({ outlastsAssignments: true, epochs: [7, 8] })
    connect()
    const taken = commit({ 0: 3n })
    const [one] = [await request(0)]
    one.answer({ 't/0': staleEpoch })
    const two = await request(1)
    two.answer()
    expect([one.epoch, two.epoch]).toEqual([7, 8])
    expect(await taken).toEqual(new Set(['t/0']))
  })

  it('are in doubt where one was not answered: it rejects, and nothing behind it is taken or sent', async () => {
    const { commit, connect, request, requests, doubts } = scene()
    connect()
    const first = commit({ 0: 3n })
    ;(await request(0)).fail(new Error('reset'))
    await expect(first).rejects.toMatchObject({ code: 'WB_BROKER_UNREACHABLE' })
    expect(await commit({ 0: 9n })).toEqual(new Set())
    expect([doubts(), requests.length]).toEqual([1, 1])
  })

  it('never leave after it was said that they were not answered', async () => {
    const { commit, connect, requests, doubts } = scene({ timeoutMs: 20 })
    await expect(commit({ 0: 3n })).rejects.toMatchObject({ code: 'WB_BROKER_UNREACHABLE' })
    connect()
    await new Promise(setImmediate)
    expect([requests.length, doubts()]).toEqual([0, 0])
  })

  it('do not leave when the assignment has ended', async () => {
    const { commit, connect, end, requests } = scene()
    const taken = commit({ 0: 3n })
    end.abort()
    connect()
    expect(await taken).toEqual(new Set())
    await new Promise(setImmediate)
    expect(requests).toEqual([])
  })

  it('have landed, and are known to be taken, when the broker has answered, also after the end of the assignment', async () => {
    const { commit, connect, end, landed, request } = scene({ outlastsAssignments: true })
    connect()
    const taken = commit({ 0: 3n })
    const one = await request(0)
    end.abort()
    let hasLanded = false
    const landing = landed().then(() => (hasLanded = true))
    await new Promise(setImmediate)
    expect(hasLanded).toBe(false)
    one.answer()
    await landing
    expect((await taken).size).toBe(1)
  })

  it.each([
    { outlastsAssignments: true, expected: 1 },
    { outlastsAssignments: false, expected: 0 },
  ])(
    'are in doubt after the end of the assignment where they outlast it: $outlastsAssignments',
    async ({ outlastsAssignments, expected }) => {
      const { commit, connect, end, landed, request, doubts } = scene({ outlastsAssignments })
      connect()
      const taken = commit({ 0: 3n })
      const one = await request(0)
      end.abort()
      one.fail(new Error('reset'))
      await landed()
      // It may have been carried out: to say that it was not would let an at-most-once message be lost uncounted.
      await expect(taken).rejects.toMatchObject({ code: 'WB_BROKER_UNREACHABLE' })
      expect(doubts()).toBe(expected)
    },
  )
})
