import { Reader, readRecordsBatch } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { until } from '../../testing/until.ts'
import { DispatchCall, type Dispatched, DispatchLine } from './dispatch-line.ts'
import type { Departure, DispatchProducer } from './dispatch-producer.ts'
import type { ReadyTopics } from './ready-topics.ts'
import { recordOf, type OutgoingRecord } from './record.ts'

interface Send {
  readonly partitions: readonly number[]
  /** Batch after batch. */
  readonly texts: readonly string[]
  readonly departure: Departure
  readonly end: PromiseWithResolvers<void>
}

/** A topic of two partitions, and a client whose sends end when the test says so. */
function setUp() {
  const sends: Send[] = []
  let departure: Departure
  const producer = {
    client: {
      connections: [],
      send: ({ messages }: { messages: { partition: number; value: Buffer }[] }) => {
        const end = Promise.withResolvers<void>()
        const partitions = messages.map(({ partition }) => partition)
        const texts = messages.flatMap(({ value }) => textsOf(value))
        sends.push({ partitions, texts, departure, end })
        return end.promise
      },
    },
    watch: (_topic: string, watched: Departure) => (departure = watched),
  } as unknown as DispatchProducer
  const ready = { find: async () => ({ partitions: 2 }) } as unknown as ReadyTopics
  const line = new DispatchLine({ topic: 't', producer, ready, maxBytes: 1000 })
  const push = (...texts: string[]): DispatchCall => {
    const call = new DispatchCall(texts.length)
    line.push(
      call,
      texts.map((text, index): Dispatched => ({ call, record: record(text), index, partition: 0 })),
    )
    return call
  }
  const end = (call: DispatchCall): void => {
    call.end()
    line.leave(call)
  }
  const sent = (count: number): Promise<unknown> => until('a send', () => sends.length === count)
  return { sends, push, end, sent }
}

/** `b…` goes to partition 1, all others to 0. */
function record(text: string): OutgoingRecord {
  return { ...recordOf('t', 'k', Buffer.from(text), []), hash: text.startsWith('b') ? 1 : 0 }
}

function textsOf(batch: Buffer): string[] {
  return readRecordsBatch(Reader.from(batch)).records.map(({ value }) => value!.toString())
}

const outcomes = (call: DispatchCall): (string | undefined)[] => call.results.map((result) => result?.outcome)

describe('the line of a topic', () => {
  it('sends together what came while a send was under way, of all calls, in order', async () => {
    const { sends, push, sent } = setUp()
    const calls = [push('a1')]
    await sent(1)
    calls.push(push('a2', 'b1'), push('a3'))
    sends[0]!.departure.begin(new Set([0]))
    sends[0]!.end.resolve()
    await sent(2)
    expect(sends.map(({ texts }) => texts)).toEqual([['a1'], ['a2', 'a3', 'b1']])
    sends[1]!.departure.begin(new Set([0, 1]))
    sends[1]!.end.resolve()
    await Promise.all(calls.map(({ done }) => done))
    expect(calls.flatMap(outcomes)).toEqual(Array.from({ length: 4 }, () => 'dispatched'))
  })

  it('sends what is kept back by the end of another call in its own time, before all behind it', async () => {
    const { sends, push, end, sent } = setUp()
    push('first')
    await sent(1)
    const [late, other] = [push('a1', 'b1'), push('a2', 'b2')]
    sends[0]!.end.resolve()
    await sent(2)
    // Partition 0 has left when the first of the two runs out of time.
    sends[1]!.departure.begin(new Set([0]))
    end(late)
    const behind = push('b3')
    expect(sends[1]!.departure.begin(new Set([1]))).toBe(false)
    sends[1]!.end.reject(new Error('Given up.'))
    await sent(3)
    expect(sends[2]!.texts).toEqual(['b2', 'b3'])
    sends[2]!.departure.begin(new Set([1]))
    sends[2]!.end.resolve()
    await Promise.all([other.done, behind.done])
    expect([late, other, behind].map(outcomes)).toEqual([
      ['dispatched', 'dropped'],
      ['dispatched', 'dispatched'],
      ['dispatched'],
    ])
  })

  it('sends nothing again that was handed back unwritten', async () => {
    const { sends, push, end, sent } = setUp()
    const [late, other] = [push('a1'), push('b1')]
    await sent(1)
    const { departure } = sends[0]!
    departure.begin(new Set([0, 1]))
    end(late)
    departure.fail(new Set([0, 1]))
    sends[0]!.end.reject(Object.assign(new Error('no'), { code: 'ECONNRESET' }))
    await other.done
    expect([outcomes(late), outcomes(other), sends.length]).toEqual([['dispatched'], ['dropped'], 1])
  })

  it('sends nothing of a call that ended before its turn', async () => {
    const { sends, push, end, sent } = setUp()
    push('a1')
    await sent(1)
    const late = push('a2')
    push('a3')
    end(late)
    sends[0]!.end.resolve()
    await sent(2)
    expect(sends[1]!.texts).toEqual(['a3'])
  })
})
