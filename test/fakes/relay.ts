import type { Clock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import type { Lane, LeasedPartition } from '../../src/ports/lane.ts'
import type { LeaseSession } from '../../src/ports/leases.ts'
import { LeaseKeeper } from '../../src/relay/lease-keeper.ts'

export interface FakeRelayOptions {
  readonly lane: Lane
  readonly leaseMs: number
  readonly clock: Clock
  /** A frozen relay's session asks nothing and hears nothing. */
  readonly open: (isFrozen: () => boolean) => Promise<LeaseSession>
  /** How long a partition takes to drain. */
  readonly drainMs: () => number
}

/** What a relay is to its keeper: it drains what it is told to give up, in its own time, and then gives it back. */
export class FakeRelay {
  readonly #held = new Map<number, LeasedPartition>()
  readonly #draining = new Set<number>()
  readonly #keeper: LeaseKeeper
  readonly #options: FakeRelayOptions
  #isFrozen = false

  constructor(options: FakeRelayOptions) {
    this.#options = options
    const { lane, leaseMs, clock, open } = options
    const taken = (partitions: readonly LeasedPartition[]): void => {
      this.#held.clear()
      for (const each of partitions) this.#held.set(each.partition, each)
    }
    const held = (): LeasedPartition[] => [...this.#held.values()]
    const kept = (): LeasedPartition[] => held().filter(({ partition }) => !this.#draining.has(partition))
    this.#keeper = new LeaseKeeper({
      lane,
      leaseMs,
      clock,
      random: () => 0.5,
      logger: silentLogger,
      open: () => open(() => this.#isFrozen),
      holder: {
        get held() {
          return held()
        },
        get kept() {
          return kept()
        },
        gained: (partitions) => {
          taken([...held(), ...partitions])
        },
        renewed: taken,
        answered() {},
        report: () => ({ inFlight: {}, perSecond: {}, stopped: [] }),
        lostAll: () => {
          taken([])
        },
        flush: async () => {},
        giveUp: (partitions) => {
          for (const each of kept()) if (partitions.includes(each.partition)) void this.#drain(each)
        },
      },
    })
    this.#keeper.start()
  }

  get held(): readonly LeasedPartition[] {
    return [...this.#held.values()]
  }

  /** As SIGTERM: drains everything, then leaves. */
  async stop(): Promise<void> {
    this.#keeper.leave()
    await Promise.all(this.held.map((each) => this.#drain(each)))
    await this.#keeper.stop()
  }

  /** As SIGSTOP: its session stays, and its leases run out. A SIGKILL is this and the loss of the session. */
  freeze(): void {
    this.#isFrozen = true
  }

  async #drain(partition: LeasedPartition): Promise<void> {
    this.#draining.add(partition.partition)
    await this.#options.clock.sleep(this.#options.drainMs())
    if (this.#isFrozen) return
    this.#draining.delete(partition.partition)
    this.#held.delete(partition.partition)
    await this.#keeper.release([partition])
  }
}
