import { describe, expect, it } from 'vitest'
import { type FencedWrites, fencedWrites, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { RelayScene, type Verdict } from './scene.ts'

async function openScene(): Promise<RelayScene> {
  return await RelayScene.open((await postgresDatabase()).url)
}

const clean = { lost: 0, copies: 0, disorder: 0 }

/** A relay is told to stop when the broker has its messages, and has not said so; another one goes on. */
async function stoppedWhileSending(scene: RelayScene, preload?: string): Promise<Verdict> {
  const stopping = await scene.relay({
    hangs: 'to the signal',
    ...(preload === undefined ? {} : { preload }),
  })
  await scene.publish(['a', 'b', 'c'])
  await stopping.waitForLine((line) => line === 'sending')
  expect(await stopping.terminate()).toEqual({ code: 0, signal: null })
  await scene.relay()
  return await scene.drained()
}

/**
 * A relay stands still before it writes a line, until another one has its partition and stands before the same line; then it writes it.
 * Of two lines the second changes nothing, whoever wrote it.
 */
async function blockedByZombie(scene: RelayScene, writesAhead = false): Promise<FencedWrites> {
  scene.shutGate()
  const failpoints = 'relay.before-block=stop'
  const standsStill = (line: string): boolean => line.startsWith('failpoint relay.before-block')
  const zombie = await scene.relay({ failpoints, writesAhead })
  await scene.publish(['refused', 'a', 'b'])
  await zombie.waitForLine(standsStill)
  const other = await scene.relay({ failpoints })
  await other.waitForLine(standsStill)
  zombie.resume()
  const isWritten = (): boolean =>
    scene.history.some(({ process, f, type }) => process === `${zombie.pid}` && f === 'mark' && type === 'ok')
  await until('the line', isWritten)
  const found = fencedWrites(scene.history)
  scene.openGate()
  other.resume()
  return found
}

describe('a hand-over', () => {
  it('copies nothing where relays are told to stop under load, one after another (R5)', async () => {
    await using scene = await openScene()
    scene.write()
    let running = await scene.relay()
    for (let i = 0; i < 4; i++) {
      const successor = await scene.relay()
      await scene.sendsMore(running)
      await scene.sendsMore(successor)
      expect(await running.terminate()).toEqual({ code: 0, signal: null })
      expect(await scene.held(running)).toBe(0)
      running = successor
    }
    await scene.sendsMore(running)
    const { published, senders, most, ...verdict } = await scene.drained()
    expect(verdict).toEqual(clean)
    expect(most).toBe(1)
    expect(senders).toBe(5)
    expect(published).toBeGreaterThan(200)
  })

  it('copies nothing where a relay joins and partitions move under load (R5)', async () => {
    await using scene = await openScene()
    scene.write()
    const relays = [await scene.relay(), await scene.relay(), await scene.relay()]
    for (const relay of relays) await scene.sendsMore(relay)
    await until('fair shares', async () => {
      const held: number[] = []
      for (const relay of relays) held.push(await scene.held(relay))
      return held.toSorted().join() === '5,5,6'
    })
    const { senders, ...verdict } = await scene.drained()
    expect(verdict).toMatchObject(clean)
    expect(senders).toBe(3)
  })

  it('sends nothing again that was under way when its relay was told to stop (F16)', async () => {
    await using scene = await openScene()
    expect(await stoppedWhileSending(scene)).toMatchObject(clean)
  })

  it('is found out where it ignores what is under way (F16)', async () => {
    await using scene = await openScene()
    const { lost, copies } = await stoppedWhileSending(scene, 'exit-at-once')
    expect(lost).toBe(0)
    expect(copies).toBeGreaterThan(0)
  })

  it('ends at once at a second SIGTERM, and another relay goes on', async () => {
    await using scene = await openScene()
    const stuck = await scene.relay({ hangs: 'for ever' })
    await scene.publish(['a', 'b', 'c'])
    await stuck.waitForLine((line) => line === 'sending')
    process.kill(stuck.pid, 'SIGTERM')
    await stuck.waitForLine((line) => line.includes('once more to stop at once'))
    // It waits for its send, and would for a minute.
    process.kill(stuck.pid, 'SIGTERM')
    expect(await stuck.exited).toEqual({ code: 143, signal: null })
    await scene.relay()
    expect(await scene.drained()).toMatchObject(clean)
  })
})

describe('a take-over', () => {
  it('follows a SIGKILL as soon as the session lock is free, however long the lease (P6)', async () => {
    await using scene = await openScene()
    scene.write()
    const [killed, other] = [await scene.relay(), await scene.relay()]
    await scene.sendsMore(killed)
    // A lease that nobody could wait for: only the lock can tell.
    await scene.client.query(
      `update waybill.partitions p set lease_until = now() + interval '1 day' from waybill.relays r
       where r.id = p.owner and r.pid = $1`,
      [killed.pid],
    )
    await killed.kill()
    await until('all partitions with the other', async () => (await scene.held(other)) === 16)
    const { lost, disorder } = await scene.drained()
    expect({ lost, disorder }).toEqual({ lost: 0, disorder: 0 })
  })

  it('keeps off what a zombie writes, but for deletes of what it saw confirmed (F9)', async () => {
    await using scene = await openScene()
    const { checked, anomalies } = await blockedByZombie(scene)
    expect(anomalies).toEqual([])
    expect(checked).toBeGreaterThan(0)
    expect(await scene.drained()).toMatchObject({ lost: 0, disorder: 0 })
  })

  it('is found out where a zombie writes under an epoch that it does not have (F9)', async () => {
    await using scene = await openScene()
    const { anomalies } = await blockedByZombie(scene, true)
    expect(anomalies.map(({ kind }) => kind)).toEqual(['unfenced'])
  })

  it('from a relay that was stopped past its lease and goes on later loses nothing and keeps order (R6)', async () => {
    await using scene = await openScene()
    scene.write()
    const [zombie, other] = [await scene.relay(), await scene.relay()]
    await scene.sendsMore(zombie)
    zombie.pause()
    await until('all partitions with the other', async () => (await scene.held(other)) === 16)
    await scene.sendsMore(other)
    zombie.resume()
    // It comes back as a new member, and gets its share.
    await until('a share of the partitions', async () => (await scene.held(zombie)) === 8)
    await scene.sendsMore(zombie)
    const { published, copies, most, ...verdict } = await scene.drained()
    expect(verdict).toEqual({ lost: 0, disorder: 0, senders: 2 })
    expect(fencedWrites(scene.history).anomalies).toEqual([])
    // One fault, one copy of what was under way at it.
    expect(most).toBeLessThanOrEqual(2)
    expect(copies).toBeLessThan(published / 2)
  })
})
