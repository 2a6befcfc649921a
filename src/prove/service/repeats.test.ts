import { describe, expect, it } from 'vitest'
import { type FirstEffect, type RepeatedCall, secondEffects } from './repeats.ts'

let last = 0

/** Of messages such as `k1:older` and `k1:newer!`, the latest of its key. */
function call(messages: string, ...changes: readonly string[]): RepeatedCall {
  return {
    number: ++last,
    messages: messages.split(' ').map((text) => ({
      id: text,
      key: text.split(':')[0]!,
      isLatest: text.endsWith('!'),
    })),
    changes: changes.map((text) => ({ row: text.slice(1), sign: text.startsWith('+') ? 1 : -1 })),
  }
}

function idsOf(calls: readonly RepeatedCall[], firsts: readonly FirstEffect[] = []): readonly string[] {
  return [...secondEffects(calls, firsts).second].map(({ messages }) =>
    messages.map(({ id }) => id).join(' '),
  )
}

describe('secondEffects', () => {
  it('finds none in a call that changed nothing', () => {
    expect(idsOf([call('k:a!'), call('k:b')])).toEqual([])
  })

  it('counts the calls of which it can be told', () => {
    const judgedOf = (...calls: readonly RepeatedCall[]): number => secondEffects(calls, []).judged
    expect(judgedOf(call('k:a!'), call('k:b!', '+shipped 7'))).toBe(2)
    expect(judgedOf(call('k:older', '-shipped', '+packed'), call('k:newer!', '-packed', '+shipped'))).toBe(1)
    expect(judgedOf(call('k:older'), { ...call('k:mixed!'), changes: null })).toBe(0)
  })

  it('finds a row that is there twice, and a number that has grown', () => {
    const calls = [call('k:a!', '+shipped 7'), call('k:b!', '-seen 1', '+seen 2')]
    expect(idsOf(calls)).toEqual(['k:a!', 'k:b!'])
  })

  it('finds none where a state was set back for a moment, and set again by what came behind it', () => {
    const back = call('k:older', '-shipped', '+packed')
    expect(idsOf([back, call('k:newer!', '-packed', '+shipped')])).toEqual([])
    // Killed in between: the older one comes once more, and finds what it has left.
    expect(idsOf([back, call('k:older'), call('k:newer!', '-packed', '+shipped')])).toEqual([])
  })

  it('finds what older and newer have added together', () => {
    const first = call('k:older', '-seen 2', '+seen 3')
    expect(idsOf([first, call('k:newer!', '-seen 3', '+seen 4')])).toEqual(['k:newer!'])
  })

  it('sums up the keys that were handled together, until each has caught up', () => {
    const both = call('k1:older k2:x!', '-k1 shipped', '+k1 packed')
    expect(idsOf([both, call('k1:newer!', '-k1 packed', '+k1 shipped')])).toEqual([])
    expect(idsOf([both, call('k1:newer!', '-k1 packed', '+k1 shipped', '+k1 again')])).toEqual(['k1:newer!'])
  })

  it('says nothing of a key whose latest message has not come again', () => {
    expect(idsOf([call('k:older', '-shipped', '+packed')])).toEqual([])
  })

  it('says nothing of what came before a new message of the key', () => {
    const older = call('k:older', '-shipped', '+packed')
    const fresh = { number: ++last, key: 'k' }
    expect(idsOf([older, call('k:fresh!')], [fresh])).toEqual([])
  })

  it('says nothing of a call that handled new messages too', () => {
    const mixed = { ...call('k:older'), changes: null }
    expect(idsOf([call('k:older', '-shipped', '+packed'), mixed, call('k:newer!')])).toEqual([])
  })
})
