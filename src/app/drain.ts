import { systemClock } from '../kernel/clock.ts'
import { isWaybillError, WaybillError } from '../kernel/errors.ts'
import type { Backlog, BacklogKind } from '../ports/backlog.ts'
import type { Store } from '../ports/store.ts'
import type { RelayStatus } from '../relay/relay.ts'
import type { ResolvedConfig } from './config.ts'
import type { WaybillStatus } from './running.ts'

const lookEveryMs = 100

export interface DrainOptions {
  /** How long it may take, in milliseconds. @default no limit */
  readonly limitMs?: number
  /** Ends the waiting. */
  readonly signal?: AbortSignal
}

/** Messages that are still in the outbox, and why. */
export interface Undelivered {
  readonly transport: string
  readonly channel: string
  /**
   * `held`: the destination takes nothing now · `waiting`: to be sent, but nothing moved any more, or time was up · `unconfigured`:
   * the channel is not in this configuration, so its relays leave it to those of another · and see {@link BacklogKind}.
   */
  readonly why: BacklogKind | 'held' | 'unconfigured'
  readonly count: number
  /** There are more than were looked at. */
  readonly isAtLeast: boolean
  /** Of the error that keeps them, where there is one. */
  readonly code: string | null
}

export interface DrainReport {
  /** Empty where all that was there has been delivered, or given up as a dead letter. */
  readonly remains: readonly Undelivered[]
  /** It ended by its limit or signal. */
  readonly isCut: boolean
}

/**
 * Resolves when relays, this process's or others, have sent what was in the outbox when it was called, or when nothing of that can
 * be sent now: what is left is delayed, tried again later, blocked, or has not moved for as long as a lease and a send may
 * take. Of broker transports that channels of the configuration go to. What stands there of other channels it tells, and does not
 * wait for. Call it after `start()`.
 *
 * Throws `WB_NOT_RUNNING`, and the store's errors where it cannot be asked what is there for as long.
 */
export type Drain = (options?: DrainOptions) => Promise<DrainReport>

interface Lane {
  readonly transport: string
  readonly channels: readonly string[]
  readonly mark: bigint
}

export function createDrain(
  config: ResolvedConfig,
  store: () => Pick<Store, 'backlog'>,
  status: () => WaybillStatus,
): Drain {
  const { leaseMs, publishTimeoutMs } = config.settings
  return async ({ limitMs = Infinity, signal = new AbortController().signal } = {}) => {
    if (!status().isRunning)
      throw new WaybillError('WB_NOT_RUNNING', 'drain() waits for relays: call start() before it.')
    const { backlog } = store()
    const lanes = await lanesOf(config, backlog)
    const until = systemClock.now() + limitMs
    const quiet = new Quiet(leaseMs + publishTimeoutMs)
    const patience = new Patience(leaseMs + publishTimeoutMs)
    const ended = async (remains: readonly Undelivered[], isCut: boolean): Promise<DrainReport> => {
      const beside = await patience.look(() => lookBeside(lanes, backlog), until, signal)
      return { remains: [...remains, ...beside], isCut }
    }
    for (;;) {
      const relays = relaysOf(status())
      const remains = await patience.look(() => look(lanes, backlog, relays), until, signal)
      // Behind those that were looked at there may be some that can be sent now.
      if (!remains.some(({ why, isAtLeast }) => why === 'waiting' || why === 'held' || isAtLeast))
        return await ended(remains, false)
      if (signal.aborted || systemClock.now() >= until) return await ended(remains, true)
      if (quiet.lasts(progressOf(remains, relays))) return await ended(remains, false)
      await systemClock.sleep(lookEveryMs, signal)
    }
  }
}

/** One look that fails says little: the relays themselves are there again when the database is. */
class Patience {
  readonly #ms: number

  constructor(ms: number) {
    this.#ms = ms
  }

  /** Rejects with what `work` rejects with where that lasts, is no matter of time, or the time is up. */
  async look<T>(work: () => Promise<T>, until: number, signal: AbortSignal): Promise<T> {
    const end = Math.min(until, systemClock.now() + this.#ms)
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const canPass = isWaybillError(error) && error.retryable !== 'no'
        if (!canPass || signal.aborted || systemClock.now() >= end) throw error
      }
      await systemClock.sleep(lookEveryMs, signal)
    }
  }
}

/** Whether nothing has changed for so long. */
class Quiet {
  readonly #ms: number
  #seen = ''
  #since = 0

  constructor(ms: number) {
    this.#ms = ms
  }

  lasts(now: string): boolean {
    if (now !== this.#seen) {
      this.#seen = now
      this.#since = systemClock.now()
    }
    return systemClock.now() - this.#since >= this.#ms
  }
}

async function lanesOf(
  { routes, transports }: ResolvedConfig,
  backlog: Pick<Backlog, 'mark'>,
): Promise<readonly Lane[]> {
  const lanes: Lane[] = []
  for (const [transport, { capabilities }] of transports) {
    const own = [...routes.values()].filter(
      (route) => route.transport === transport && route.channel.isStored,
    )
    if (capabilities.isLocal || own.length === 0) continue
    const channels = own.map(({ channel }) => channel.name)
    lanes.push({ transport, channels, mark: await backlog.mark(transport) })
  }
  return lanes
}

/** Of broker lanes: what the consumers of a local one do sends nothing. */
function relaysOf({ parts }: WaybillStatus): readonly RelayStatus[] {
  return parts.flatMap((part) =>
    part.kind === 'relay' && part.relay?.lane.consumer === '' ? [part.relay] : [],
  )
}

/**
 * Differs where messages have moved on. How many are left says so, until there are more than were looked at: then what relays have
 * got rid of does. Neither why one is left nor how often it was tried is progress: a destination that is down is probed for ever.
 */
function progressOf(remains: readonly Undelivered[], relays: readonly RelayStatus[]): string {
  const left = remains.reduce((sum, { count }) => sum + count, 0)
  if (!remains.some(({ isAtLeast }) => isAtLeast)) return String(left)
  const gone = relays.map(({ counters }) => {
    const { confirmed, taken, buried, blocked, followers, expired } = counters
    return confirmed + taken + buried + blocked + followers + expired
  })
  return [left, ...gone].join()
}

async function look(
  lanes: readonly Lane[],
  backlog: Backlog,
  relays: readonly RelayStatus[],
): Promise<readonly Undelivered[]> {
  const remains: Undelivered[] = []
  for (const { transport, channels, mark } of lanes) {
    const relay = relays.find(({ lane }) => lane.transport === transport)
    for (const { kind, ...part } of await backlog.look(transport, channels, mark)) {
      const failing = relay?.vitals.failing.find(({ channel }) => channel === part.channel)
      const isHeld = kind === 'waiting' && failing !== undefined
      const code = isHeld ? failing.code : kind === 'waiting' ? codeOf(relay) : null
      remains.push({ transport, ...part, why: isHeld ? 'held' : kind, code })
    }
  }
  return remains
}

/** What a relay of this configuration reads and leaves: nothing is said of it elsewhere, and nothing left would be untrue. */
async function lookBeside(lanes: readonly Lane[], backlog: Backlog): Promise<readonly Undelivered[]> {
  const beside: Undelivered[] = []
  for (const { transport, channels, mark } of lanes) {
    for (const part of await backlog.lookBeside(transport, channels, mark))
      beside.push({ transport, ...part, why: 'unconfigured', code: null })
  }
  return beside
}

/** Of what keeps a relay from its work as a whole. */
function codeOf(relay: RelayStatus | undefined): string | null {
  if (relay === undefined) return null
  const { leaseFailure, failed } = relay.vitals
  return relay.stopped.length > 0 ? 'WB_FENCED_MISMATCH' : (leaseFailure ?? failed[0]?.code ?? null)
}
