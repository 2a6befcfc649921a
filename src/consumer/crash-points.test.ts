import { describe, expect, it } from 'vitest'
import { setUpConsumer } from '../../test/fakes/consumer.ts'
import { LogBroker } from '../../test/fakes/log-broker.ts'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { MortalProcess } from '../../test/fakes/mortal.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import { until } from '../testing/until.ts'
import type { BrokerConsumer } from './broker-consumer.ts'

const good = ['a1', 'b1', 'a2', 'a3', 'b2']
const poison = 'poison'

interface World {
  readonly store: FakeStore
  readonly broker: LogBroker
  /** Names of the messages whose handler was started, in order. */
  readonly ran: string[]
}

function newWorld(): World {
  const broker = new LogBroker()
  const names = ['a1', 'b1', poison, 'a2', 'broken', 'a3', 'b2']
  for (const name of names) {
    if (name === 'broken')
      broker.append({ envelope: null, raw: { payload: new Uint8Array([1]), error: 'no' } })
    else broker.append({ envelope: envelope(name, name[0]!.toUpperCase()), raw: null })
  }
  return { store: new FakeStore(), broker, ran: [] }
}

function startProcess(world: World, form: ConsumerForm, dieAt: number): [MortalProcess, BrokerConsumer] {
  const { store, broker, ran } = world
  const process = new MortalProcess(dieAt)
  const { consumer } = setUpConsumer({
    form,
    isMortal: true,
    store,
    batchSize: 2,
    cautious: 1,
    maxAttempts: 2,
    ...process.handsOn(store, broker),
    stopTimeoutMs: 1000,
    handle: async (name) => {
      ran.push(name)
      await process.gate()
      if (name === poison) throw new Error('never')
    },
  })
  void consumer.start()
  return [process, consumer]
}

/** One process that dies at its `dieAt`th step, and one after it that finds what it left. Resolves when all is quiet. */
async function runWith(
  form: ConsumerForm,
  dieAt: number,
  isZombie: boolean,
): Promise<World & { hasDied: boolean }> {
  const world = newWorld()
  const [first, firstConsumer] = startProcess(world, form, dieAt)
  await Promise.race([first.died, drained(world, form)])
  const hasDied = first.isDead
  first.spare()
  if (hasDied) {
    // The database's server ends the transactions of a process that is silent.
    world.store.abandonOpen()
    const [, second] = startProcess(world, form, Infinity)
    await drained(world, form)
    await second.stop()
  }
  if (isZombie) first.wake()
  if (isZombie || !hasDied) await firstConsumer.stop()
  return { ...world, hasDied }
}

async function drained({ broker, store }: World, form: ConsumerForm): Promise<void> {
  await until('the end of the log', () =>
    form === 'checkpoint'
      ? store.checkpoints.next('orders/0') === broker.end
      : broker.committed === broker.end,
  )
}

const cases = (['settle-first', 'settle-after', 'inbox', 'checkpoint'] as const).flatMap((form) =>
  [false, true].map((isZombie) => ({ form, isZombie })),
)

describe.each(cases)(
  '$form, with a first process that dies at any step (only stopped: $isZombie)',
  (each) => {
    const { form, isZombie } = each

    it('keeps what the guarantee says', async () => {
      let [lost, reran, dieAt] = [0, 0, 0]
      for (let isOver = false; !isOver;) {
        dieAt += 1
        const { store, ran, hasDied } = await runWith(form, dieAt, isZombie)
        isOver = !hasDied
        const { effects, dead } = store
        const where = `died at step ${dieAt}`
        const handled = [...new Set(effects)]
        const starts = good.map((name) => ran.filter((each) => each === name).length)
        lost += good.length - handled.length
        if (starts.some((count) => count > 1)) reran += 1
        if (form === 'settle-first') {
          expect(new Set(ran).size, where).toBe(ran.length)
        } else {
          expect(handled.toSorted(), where).toEqual(good.toSorted())
          const given = dead.map(({ envelope: { id }, errorCode }) =>
            id === idOf(poison) ? poison : errorCode,
          )
          expect(given.toSorted(), where).toEqual(['WB_ENVELOPE_INVALID', poison])
        }
        if (form !== 'settle-after') expect(effects.length, where).toBe(handled.length)
        if (form === 'checkpoint') expect(effects, where).toEqual(good)
        // A process that was stopped between the settlement and the run of a message, and goes on, runs it late.
        if (form === 'settle-first' && isZombie) continue
        for (const key of ['a', 'b']) {
          const own = handled.filter((name) => name.startsWith(key))
          expect(own, where).toEqual(own.toSorted())
        }
        if (isOver) expect(handled.toSorted()).toEqual(good.toSorted())
      }
      // It died often enough, and it mattered.
      expect(dieAt).toBeGreaterThan(20)
      if (form === 'settle-first') expect(lost).toBeGreaterThan(0)
      else expect(reran).toBeGreaterThan(0)
    })
  },
)
