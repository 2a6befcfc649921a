import type { AddressDesk, AddressList } from '../ports/address-desk.ts'
import type { TransportDefinition } from '../ports/transport.ts'
import { until } from '../testing.ts'
import { mostStartMs } from './rows.ts'
import { runIdIn, runPrefix } from './settings.ts'

/** What a run has at one broker, in names of its own. */
export interface Ground {
  readonly transport: TransportDefinition
  /** Made before anything is sent there. */
  readonly addresses: readonly string[]
  /** @default as many as the transport gives an address */
  readonly streams?: number
  /** Others that its processes may make: what handlers publish goes there. @default none */
  readonly further?: readonly string[]
  readonly consumers: readonly string[]
}

const nothing: AddressList = { addresses: [], consumers: [] }

/** All of a run's. */
export class Grounds {
  readonly #grounds: readonly Ground[]

  constructor(grounds: readonly Ground[]) {
    this.#grounds = grounds
  }

  /**
   * Runs other than this one that have something there, and of whose consumers none has a member: they were killed, or are just
   * starting. What cannot be listed is not known.
   */
  async remnants(run: string): Promise<readonly string[]> {
    const found = new Set<string>()
    const alive = new Set([run])
    await this.#visit(this.#grounds, async (desk) => {
      const { addresses, consumers } = await desk.list(runPrefix).catch(() => nothing)
      const active = consumers.filter(({ hasMembers }) => hasMembers).map(({ name }) => name)
      for (const name of [...addresses, ...consumers.map((each) => each.name)])
        found.add(runIdIn(name) ?? run)
      for (const name of active) alive.add(runIdIn(name) ?? run)
    })
    return [...found].filter((id) => !alive.has(id)).toSorted()
  }

  async make(): Promise<void> {
    await this.#visit(this.#grounds, async (desk, { addresses, streams }) => {
      for (const address of addresses) await desk.create(address, streams)
    })
  }

  /**
   * Resolves when every consumer has its share of each address. A group that is being shared out brings again what is under way, which
   * is no fault of anybody's, and the baseline allows nothing. Throws `WB_TIMED_OUT`.
   */
  async settled(members: number, signal: AbortSignal): Promise<void> {
    await this.#visit(this.#grounds, async (desk, { consumers }) => {
      const what = 'the groups of the consumers of this proof, with all of their members,'
      const look = async (): Promise<boolean> => await desk.areShared(consumers, members).catch(() => false)
      await until(what, look, { timeoutMs: mostStartMs, everyMs: 100, signal })
    })
  }

  /** All it can; rejects with the first of several errors. */
  async remove(): Promise<void> {
    const removeAt = (ground: Ground): Promise<void> =>
      this.#visit([ground], async (desk, { addresses, further = [], consumers }) => {
        const all = [...new Set([...addresses, ...further])]
        await allOf([desk.remove(all, consumers), desk.removeNotes()])
      })
    await allOf(this.#grounds.map(removeAt))
  }

  async #visit(
    grounds: readonly Ground[],
    work: (desk: AddressDesk, ground: Ground) => Promise<void>,
  ): Promise<void> {
    for (const ground of grounds) {
      const desk = await ground.transport.openDesk!('waybill prove')
      try {
        await work(desk, ground)
      } finally {
        await desk.close()
      }
    }
  }
}

/** One that fails cuts none of the others off. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === 'rejected') throw result.reason
}
