import { describe, expect, it } from 'vitest'
import { ProduceLog } from './produce-log.ts'

const batch = [
  { topic: 't', partition: 0 },
  { topic: 't', partition: 1 },
]

function answer(codes: Readonly<Record<number, number>>): unknown {
  const partitionResponses = Object.entries(codes).map(([index, errorCode]) => ({
    index: Number(index),
    errorCode,
  }))
  return { responses: [{ name: 't', partitionResponses }] }
}

function outcomeOf(log: ProduceLog, partition: number): string {
  const verdict = log.verdict('t', partition)
  return verdict.kind === 'not-written' ? verdict.kind : `${verdict.kind}: ${verdict.fate.outcome}`
}

describe('what is known of a send', () => {
  it('is that nothing was written, until a request leaves', () => {
    const log = new ProduceLog()
    expect(outcomeOf(log, 0)).toBe('not-written')
    expect(log.begin(batch)).toBe(true)
    expect(outcomeOf(log, 0)).toBe('fate: unknown')
  })

  it('stays that way once it was given up: nothing may leave any more', () => {
    const log = new ProduceLog()
    log.seal()
    expect(log.begin(batch)).toBe(false)
    expect(outcomeOf(log, 0)).toBe('not-written')
  })

  it('is told for each partition by itself, also in an answer that the library makes an error of', () => {
    const log = new ProduceLog()
    log.begin(batch)
    log.answer(answer({ 0: 0, 1: 19 }))
    expect(outcomeOf(log, 0)).toBe('fate: confirmed')
    expect(log.verdict('t', 1)).toMatchObject({
      kind: 'fate',
      fate: { outcome: 'rejected', scope: 'destination' },
    })
  })

  it.each([
    ['a time-out while replicas were waited for', 7],
    ['too few replicas after it was written', 20],
    ['an unknown server error', -1],
    ['a leader that leads no more, and may have appended it before', 6],
  ])('is unknown after %s', (_, code) => {
    const log = new ProduceLog()
    log.begin(batch)
    log.answer(answer({ 0: code }))
    expect(outcomeOf(log, 0)).toBe('fate: unknown')
  })

  it('stays unknown where one attempt got no answer and the next was refused', () => {
    const log = new ProduceLog()
    log.begin(batch)
    log.answer(undefined)
    log.begin(batch)
    log.answer(answer({ 0: 19 }))
    expect(outcomeOf(log, 0)).toBe('fate: unknown')
  })

  it('stays unknown where a leader led no more, and its successor refused it', () => {
    const log = new ProduceLog()
    log.begin(batch)
    log.answer(answer({ 0: 6 }))
    log.begin(batch)
    log.answer(answer({ 0: 19 }))
    expect(outcomeOf(log, 0)).toBe('fate: unknown')
  })

  it.each([0, 46])('is confirmed where a later attempt finds it in the log (answer %i)', (code) => {
    const log = new ProduceLog()
    log.begin(batch)
    log.begin(batch)
    log.answer(answer({ 0: code }))
    expect(outcomeOf(log, 0)).toBe('fate: confirmed')
  })

  it.each([10, 18, 87])('is that the batch was refused for what is in it (answer %i)', (code) => {
    const log = new ProduceLog()
    log.begin(batch)
    log.answer(answer({ 0: code }))
    expect(log.verdict('t', 0)).toMatchObject({
      kind: 'refused',
      fate: { scope: 'message', retryable: false },
    })
    expect(log.isProducerOver).toBe(false)
  })

  it.each([45, 47, 59, 90])(
    'ends the producer where the broker lost or gave away its state (answer %i)',
    (code) => {
      const log = new ProduceLog()
      log.begin(batch)
      log.answer(answer({ 0: code }))
      expect(log.isProducerOver).toBe(true)
      expect(outcomeOf(log, 0)).toBe('fate: rejected')
    },
  )
})
