import { expect, it } from 'vitest'
import { silentLogger } from '../../kernel/logger.ts'
import type { PgConnection } from './driver.ts'
import { Pooling } from './pooling.ts'

/** Served by each of these processes in turn, the last one from then on; by none it is half-open. */
class Client {
  readonly processID = 1
  isEnded = false
  isDestroyed = false
  readonly connection = { stream: { destroy: () => void (this.isDestroyed = true) } }
  readonly #processes: number[]

  constructor(...processes: number[]) {
    this.#processes = processes
  }

  on(): void {}

  async connect(): Promise<void> {}

  async query(): Promise<unknown> {
    if (this.#processes.length === 0) return await new Promise(() => {})
    const pid = this.#processes.length > 1 ? this.#processes.shift() : this.#processes[0]
    return { rows: [{ pid }] }
  }

  async end(): Promise<void> {
    if (this.#processes.length === 0) await new Promise(() => {})
    this.isEnded = true
  }
}

function pooling(second: () => Client, timeoutMs = 10_000): Pooling {
  const create = async (): Promise<PgConnection> => second() as unknown as PgConnection
  return new Pooling({ pooler: 'auto', create, timeoutMs, logger: silentLogger })
}

const judge = (judged: Pooling, client: Client): Promise<boolean> =>
  judged.judge(client as unknown as PgConnection)

it.each([
  ['no pooler, where the process is the one it was told', [1], [7], false],
  ['a pooler in session mode, where each keeps its own', [2], [3], false],
  ['a pooler in transaction mode, where both have one', [2], [2], true],
  ['a pooler in transaction mode, where one has two', [2, 5], [9], true],
])('sees %s', async (_, own, others, isShared) => {
  const second = new Client(...others)
  expect(
    await judge(
      pooling(() => second),
      new Client(...own),
    ),
  ).toBe(isShared)
})

it('looks again with the next connection where the second one gave no answer, and leaves none open', async () => {
  const seconds = [new Client(), new Client(2)]
  const [hung] = seconds
  const judged = pooling(() => seconds.shift()!, 1)
  const looks = [judge(judged, new Client(2)), judge(judged, new Client(2))]
  for (const look of looks) await expect(look).rejects.toMatchObject({ code: 'WB_TIMED_OUT' })
  expect(hung!.isDestroyed).toBe(true)
  expect(judged.isShared).toBe(null)
  expect(await judge(judged, new Client(2))).toBe(true)
})
