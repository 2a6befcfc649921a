import { afterEach, describe, expect, it } from 'vitest'
import type { Clock } from '../kernel/clock.ts'
import { listenForInterruption, type Interruption } from './interruption.ts'

let interruption: Interruption | undefined
afterEach(() => interruption?.dispose())

function listen(): {
  exits: number[]
  firsts: () => number
  advance: (ms: number) => void
  it: Interruption
} {
  const exits: number[] = []
  let firsts = 0
  let now = 0
  const clock: Pick<Clock, 'now'> = { now: () => now }
  interruption = listenForInterruption(() => (firsts += 1), { exit: (code) => exits.push(code), clock })
  return { exits, firsts: () => firsts, advance: (ms) => (now += ms), it: interruption }
}

describe('an interruption', () => {
  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s aborts, and the process ends with %d', (name, code) => {
    const { it, firsts, exits } = listen()
    expect(it.exitCode()).toBeUndefined()
    process.emit(name, name)
    expect(it.signal.aborted).toBe(true)
    expect(it.exitCode()).toBe(code)
    expect({ firsts: firsts(), exits }).toEqual({ firsts: 1, exits: [] })
  })

  it('that comes twice through npx is one; a later second one ends the process at once', () => {
    const { exits, advance } = listen()
    process.emit('SIGINT', 'SIGINT')
    advance(100)
    process.emit('SIGINT', 'SIGINT')
    expect(exits).toEqual([])
    advance(500)
    process.emit('SIGINT', 'SIGINT')
    expect(exits).toEqual([130])
  })

  it('is nobody’s business any more after dispose', () => {
    const before = process.listenerCount('SIGINT')
    const { it } = listen()
    it.dispose()
    expect(process.listenerCount('SIGINT')).toBe(before)
  })
})
