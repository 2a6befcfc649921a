import { systemClock } from '../kernel/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { HoldingKeys, LayoutRemains, Layouts, LayoutWait } from '../ports/layouts.ts'
import type { Store } from '../ports/store.ts'
import type { ResolvedConfig } from './config.ts'
import { settingValue } from './settings-value.ts'

const lookEveryMs = 200

export interface ChangePartitionsOptions {
  /** @default every transport that carries a stored channel */
  readonly transports?: readonly string[]
  /** Gives the change up where its new layout is not there yet; after that only the waiting. */
  readonly signal?: AbortSignal
  /** How long to wait until relays have sent what stands in the older partitions, in milliseconds. @default 0 */
  readonly drainMs?: number
  /** Refuses to begin a change that blocked keys would hold up, with `WB_INVALID_OPTION`. @default false */
  readonly refuseBlocked?: boolean
  /** Told about once a second while something is waited for. */
  readonly onWait?: (transport: string, wait: LayoutWait | DrainWait) => void
}

/** Rows of an older layout that relays have not sent yet. */
export interface DrainWait {
  readonly for: 'drain'
  readonly rows: number
  readonly isAtLeast: boolean
  /** Blocked keys that must be unblocked or skipped before the older partitions run dry. */
  readonly blocked: readonly HoldingKeys[]
}

export interface PartitionsChange {
  readonly transport: string
  readonly before: number
  readonly partitions: number
  /** Relays have not finished with the older partitions; they go on by themselves. */
  readonly isDraining: boolean
  /** What stands in them, and why. */
  readonly remains: readonly LayoutRemains[]
  /** Keys that an operator must unblock or skip before new messages of ordered channels are read; none where nothing drains. */
  readonly blocked: readonly HoldingKeys[]
}

/** The number of partitions of each transport: the unit of order and of lease. */
export interface PartitionDesk {
  /**
   * Gives transports another number of partitions on a live outbox: writers and relays go on, and order is kept by key. Resolves
   * when new messages go into the new ones; relays turn to those by themselves when the older ones hold nothing of an ordered
   * channel any more. Whatever ends it, it may be called again.
   *
   * Throws `WB_INVALID_OPTION`, also where blocked keys are to be refused and there are some, `WB_ABORTED`, `WB_STORE_CONFLICT` where another process does the same, and the store's errors.
   */
  change(partitions: number, options?: ChangePartitionsOptions): Promise<readonly PartitionsChange[]>
}

export function createPartitionDesk(
  { routes }: Pick<ResolvedConfig, 'routes'>,
  store: () => Pick<Store, 'layouts'>,
): PartitionDesk {
  const stored = [...routes.values()].filter(({ channel }) => channel.isStored)
  const known = [...new Set(stored.map(({ transport }) => transport))]
  return {
    change: (partitions, options = {}) => change(store().layouts, known, partitions, options),
  }
}

/** One transport after another: each change waits for the transactions that are open, and holds up nobody meanwhile. */
async function change(
  layouts: Layouts,
  known: readonly string[],
  partitions: number,
  options: ChangePartitionsOptions,
): Promise<readonly PartitionsChange[]> {
  const { transports = known, signal = new AbortController().signal, drainMs = 0, onWait } = options
  settingValue('partitions', partitions, false, 'partitions.change')
  for (const transport of transports) {
    if (known.includes(transport)) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `No stored channel of the configuration goes to a transport "${transport}".${didYouMean(transport, known)}`,
    )
  }
  const before = new Map((await layouts.look(transports)).map((each) => [each.transport, each.partitions]))
  if (options.refuseBlocked === true) {
    const toChange = transports.filter((transport) => before.get(transport) !== partitions)
    await refuseBlocked(layouts, toChange)
  }
  for (const transport of transports) {
    await layouts.change(transport, partitions, {
      signal,
      onWait: (wait) => onWait?.(transport, wait),
    })
  }
  const until = systemClock.now() + drainMs
  const changes: PartitionsChange[] = []
  for (const transport of transports) {
    const drained = await drain(layouts, transport, until, signal, (wait) => onWait?.(transport, wait))
    changes.push({ transport, before: before.get(transport) ?? partitions, partitions, ...drained })
  }
  return changes
}

/** Before anything is changed: the new partitions would stay closed, and every ordered channel still, until somebody sees to the keys. */
async function refuseBlocked(layouts: Layouts, transports: readonly string[]): Promise<void> {
  for (const transport of transports) {
    const blocked = await layouts.blocked(transport)
    if (blocked.length === 0) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Transport "${transport}" has blocked keys: ${holdingText(blocked)}. New messages of its ordered channels would all wait ` +
        'until those are unblocked or skipped, so nothing was changed. See them with waybill keys list --state blocked; with ' +
        '--yes the change is made all the same.',
    )
  }
}

/** How many keys of which channels. */
export function holdingText(blocked: readonly HoldingKeys[]): string {
  return blocked
    .map(({ channel, consumer, count, isAtLeast }) => {
      const where = consumer === '' ? '' : ` (consumer "${consumer}")`
      return `${isAtLeast ? 'at least ' : ''}${count} of channel "${channel}"${where}`
    })
    .join(', ')
}

async function drain(
  layouts: Layouts,
  transport: string,
  until: number,
  signal: AbortSignal,
  onWait: (wait: DrainWait) => void,
): Promise<Pick<PartitionsChange, 'isDraining' | 'remains' | 'blocked'>> {
  for (let looks = 1; ; looks++) {
    const [layout] = await layouts.look([transport])
    if (layout === undefined || layout.older === 0) return { isDraining: false, remains: [], blocked: [] }
    const remains = await layouts.remains(transport)
    const isOver = signal.aborted || systemClock.now() >= until
    const isToTell = looks % 5 === 0
    // Only rows of ordered channels hold the new layout up.
    const isHeld = remains.some(({ ordered }) => ordered)
    const blocked = isHeld && (isOver || isToTell) ? await layouts.blocked(transport) : []
    if (isOver) return { isDraining: true, remains, blocked }
    if (isToTell) {
      const rows = remains.reduce((sum, { count }) => sum + count, 0)
      onWait({ for: 'drain', rows, isAtLeast: remains.some(({ isAtLeast }) => isAtLeast), blocked })
    }
    await systemClock.sleep(lookEveryMs, signal)
  }
}
