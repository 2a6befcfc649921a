import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../test/fakes/clock.ts'
import { silentLogger } from '../kernel/logger.ts'
import type { News } from '../ports/bell.ts'
import { restMs, Ringer } from './ringer.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const news = (transport: string, isCommitted = true): News => ({ transport, isCommitted })

class Scene {
  readonly clock: VirtualClock = new VirtualClock()
  readonly rung: { readonly at: number; readonly news: readonly News[] }[] = []
  answer: () => Promise<void> = async () => {}
  readonly ringer: Ringer = new Ringer({
    clock: this.clock,
    logger: silentLogger,
    bell: () => ({
      ring: (all) => {
        this.rung.push({ at: this.clock.now(), news: all })
        return this.answer()
      },
      listen: () => null,
    }),
  })
}

describe('a ringer', () => {
  it('rings the first after the turn it came in, and all that follows within a rest together', async () => {
    const { ringer, rung } = new Scene()
    ringer.ring(news('kafka'))
    await Promise.resolve()
    expect(rung).toEqual([])
    await turn()
    for (let i = 0; i < 100; i++) ringer.ring(news('kafka'))
    ringer.ring(news('local', false))
    expect(rung).toEqual([{ at: 0, news: [news('kafka')] }])
    await expect.poll(() => rung.length).toBe(2)
    expect(rung[1]).toEqual({ at: restMs, news: [news('kafka'), news('local', false)] })
  })

  it('says committed where one of several was', async () => {
    const { ringer, rung } = new Scene()
    ringer.ring(news('a'))
    await turn()
    ringer.ring(news('b', false))
    ringer.ring(news('b', true))
    ringer.ring(news('b', false))
    await ringer.flush()
    expect(rung[1]!.news).toEqual([news('b', true)])
  })

  it('keeps what comes while a statement is under way', async () => {
    const scene = new Scene()
    const answered = Promise.withResolvers<void>()
    scene.answer = () => answered.promise
    scene.ringer.ring(news('a'))
    await turn()
    scene.ringer.ring(news('b'))
    expect(scene.rung).toHaveLength(1)
    answered.resolve()
    await scene.ringer.flush()
    expect(scene.rung.map((each) => each.news)).toEqual([[news('a')], [news('b')]])
  })

  it('rings what waits without a rest when it is flushed', async () => {
    const { ringer, rung, clock } = new Scene()
    ringer.ring(news('a'))
    await turn()
    ringer.ring(news('b'))
    await ringer.flush()
    expect(rung).toHaveLength(2)
    expect(clock.now()).toBeLessThan(restMs)
    ringer.ring(news('c'))
    await turn()
    await ringer.flush()
    expect(rung).toHaveLength(3)
  })

  it('is flushed within a second where nobody answers', async () => {
    const scene = new Scene()
    scene.answer = () => new Promise<void>(() => {})
    scene.ringer.ring(news('a'))
    await turn()
    await scene.ringer.flush()
    expect(scene.clock.now()).toBe(1000)
  })

  it('leaves a database alone for a while that failed, and then rings again', async () => {
    const scene = new Scene()
    scene.answer = () => Promise.reject(new Error('down'))
    scene.ringer.ring(news('a'))
    await turn()
    await scene.ringer.flush()
    scene.answer = async () => {}
    scene.ringer.ring(news('a'))
    await turn()
    await scene.ringer.flush()
    expect(scene.rung).toHaveLength(1)
    await scene.clock.sleep(1001)
    scene.ringer.ring(news('a'))
    await turn()
    await scene.ringer.flush()
    expect(scene.rung).toHaveLength(2)
  })

  it('does nothing where there is no bell', async () => {
    const ringer = new Ringer({ clock: new VirtualClock(), logger: silentLogger, bell: () => null })
    ringer.ring(news('a'))
    await ringer.flush()
  })
})
