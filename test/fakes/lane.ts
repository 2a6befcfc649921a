import type { Clock } from '../../src/kernel/clock.ts'
import type { LeasedPartition } from '../../src/ports/lane.ts'
import type { LeaseSession } from '../../src/ports/leases.ts'

interface Place {
  owner: string | null
  epoch: bigint
  until: number
}

interface Member {
  readonly id: string
  until: number
  isLeaving: boolean
  /** Whether its session lock is held: a killed process's is free, a stopped one's is not. */
  isLocked: boolean
}

/** The partitions of a lane and who is on it, in memory, as the port of leases says it. Every answer takes its time. */
export class FakeLane {
  readonly places: Map<number, Place> = new Map()
  readonly leaseMs: number
  readonly clock: Clock
  readonly #latencyMs: () => number
  /** In the order in which they joined. */
  readonly #members: Member[] = []
  #joined = 0

  constructor(options: { clock: Clock; leaseMs: number; partitions: number; latencyMs: () => number }) {
    this.clock = options.clock
    this.leaseMs = options.leaseMs
    this.#latencyMs = options.latencyMs
    for (let i = 0; i < options.partitions; i++) this.places.set(i, { owner: null, epoch: 0n, until: 0 })
  }

  /** By owner's id; what nobody holds under a lease is left out. */
  holdings(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { owner, until } of this.places.values())
      if (owner !== null && until >= this.clock.now()) counts.set(owner, (counts.get(owner) ?? 0) + 1)
    return counts
  }

  /** A member of the lane; `kill` is what the database sees of a SIGKILL. */
  join(fate: { readonly isFrozen: () => boolean }): { session: LeaseSession; kill: () => void } {
    const member: Member = {
      id: `relay-${++this.#joined}`,
      until: this.clock.now() + this.leaseMs,
      isLeaving: false,
      isLocked: true,
    }
    this.#members.push(member)
    const answer = async <T>(effect: () => T): Promise<T> => {
      await this.clock.sleep(this.#latencyMs())
      // A process that was killed or stopped asks nothing and hears nothing.
      if (fate.isFrozen()) return await new Promise<never>(() => {})
      return effect()
    }
    const session: LeaseSession = {
      relayId: member.id,
      renew: (held, isLeaving) => answer(() => this.#renew(member, held, isLeaving)),
      claim: (most) => answer(() => this.#claim(member, most)),
      survey: () =>
        answer(() => {
          const living = this.#members.filter((each) => this.#isAlive(each))
          const before = this.#members.slice(0, this.#members.indexOf(member))
          return {
            relays: living.length,
            rank: before.filter((each) => this.#isAlive(each)).length,
            partitions: this.places.size,
            closed: [],
          }
        }),
      release: (held) =>
        answer(() => {
          for (const each of held)
            if (this.#isOwn(member, each)) this.places.get(each.partition)!.owner = null
        }),
      close: () =>
        answer(() => {
          for (const place of this.places.values()) if (place.owner === member.id) place.owner = null
          this.#members.splice(this.#members.indexOf(member), 1)
        }),
    }
    return {
      session,
      kill: () => {
        member.isLocked = false
      },
    }
  }

  #isAlive({ until, isLeaving, isLocked }: Member): boolean {
    return until >= this.clock.now() && !isLeaving && isLocked
  }

  #isOwn(member: Member, { partition, epoch }: LeasedPartition): boolean {
    const place = this.places.get(partition)!
    return place.owner === member.id && place.epoch === epoch
  }

  #renew(member: Member, held: readonly LeasedPartition[], isLeaving: boolean): LeasedPartition[] {
    member.until = this.clock.now() + this.leaseMs
    member.isLeaving = isLeaving
    const own = held.filter((each) => this.#isOwn(member, each))
    for (const { partition } of own) this.places.get(partition)!.until = member.until
    return own
  }

  #claim(member: Member, most: number): LeasedPartition[] {
    const gained: LeasedPartition[] = []
    for (const [partition, place] of this.places) {
      const isFree =
        place.owner === null ||
        place.until < this.clock.now() ||
        this.#members.some(({ id, isLocked }) => id === place.owner && !isLocked)
      if (!isFree || place.owner === member.id || gained.length === most) continue
      place.owner = member.id
      place.epoch += 1n
      place.until = this.clock.now() + this.leaseMs
      gained.push({ partition, epoch: place.epoch })
    }
    return gained
  }
}
