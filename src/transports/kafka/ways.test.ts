import { EventEmitter } from 'node:events'
import { expect, it } from 'vitest'
import { VirtualClock } from '../../../test/fakes/clock.ts'
import { type Way, Ways } from './ways.ts'

class Connection extends EventEmitter implements Way {
  #isOpen = true

  isConnected(): boolean {
    return this.#isOpen
  }

  close(): void {
    this.#isOpen = false
    this.emit('close')
  }
}

it('knows when something goes to a partition over another connection than before', () => {
  const ways = new Ways(new VirtualClock())
  const [first, second] = [new Connection(), new Connection()]
  expect(ways.has('t')).toBe(false)
  expect(ways.areLeft('t', [0, 1], first)).toBe(false)
  expect(ways.areLeft('t', [0], first)).toBe(false)
  // A leader that another connection leads to, which is there already.
  expect(ways.areLeft('t', [1, 2], second)).toBe(true)
  expect(ways.areLeft('t', [1], second)).toBe(false)
  expect(ways.areLeft('u', [0], second)).toBe(false)
  expect(ways.areLeft('t', [0], second)).toBe(true)
})

it('takes a lost connection for one that may still bring something, for a while', async () => {
  const clock = new VirtualClock()
  const ways = new Ways(clock)
  const [first, second] = [new Connection(), new Connection()]
  ways.areLeft('t', [0, 1], first)
  expect(ways.areOpen('t')).toBe(true)
  first.close()
  expect(ways.areOpen('t')).toBe(false)
  expect(ways.areOpen('u')).toBe(true)
  ways.areLeft('t', [0], second)
  expect(ways.areOpen('t')).toBe(false)
  // What is sent behind it over another one is not overtaken by it any more.
  ways.areLeft('t', [1], second)
  expect(ways.areOpen('t')).toBe(true)
  second.close()
  expect(ways.areOpen('t')).toBe(false)
  await clock.sleep(60_000)
  expect(ways.areOpen('t')).toBe(true)
})
