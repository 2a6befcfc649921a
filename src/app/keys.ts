import type { Logger } from '../kernel/logger.ts'
import type { DeadLetters } from '../ports/dead-letters.ts'
import type { HeldKey, KeyFilter, KeyPage, Keys, LineName } from '../ports/keys.ts'
import { audit } from './audit.ts'
import type { OperationOptions } from './dead-letters.ts'
import { type Left, LeftCounts, plain } from './left.ts'
import {
  checkKeys,
  checkLimit,
  checkOptions,
  checkPage,
  checkSelected,
  isLineName,
  type KeySelection,
} from './operator-filters.ts'

const batch = 500

export interface UnblockReport {
  readonly unblocked: number
  /** Parked keys, which were left: their messages come back by a replay of the dead letters. */
  readonly parked: number
}

export interface SkipReport {
  /** Heads that are dead letters now. */
  readonly skipped: number
  /** Heads that were delivered meanwhile: their keys go on without anything being given up. */
  readonly gone: number
  /** Messages that came back from behind parked heads. */
  readonly returned: number
  /** Messages that stay parked, and why. */
  readonly left: readonly Left[]
}

/** Keys that are held by a message which fails. Each change is logged with who made it. */
export interface KeyDesk {
  /** 50 unless told; 1,000 at most. */
  list(filter?: KeySelection, page?: Partial<KeyPage>): Promise<readonly HeldKey[]>
  count(filter: KeySelection): Promise<number>
  /** Tries heads again now, blocked ones as if for the first time. */
  unblock(filter: KeySelection, options?: OperationOptions): Promise<UnblockReport>
  /**
   * Gives the head of each key up: it becomes a dead letter, and the key goes on with what stands behind it. Of a parked key the head
   * stays a dead letter, and its followers come back in their old order. One message for each key. A head that is being sent meanwhile
   * and arrives is no dead letter any more.
   */
  skip(filter: KeySelection, options?: OperationOptions): Promise<SkipReport>
}

export interface KeyDeskParts {
  readonly store: () => { readonly keys: Keys; readonly deadLetters: DeadLetters }
  readonly logger: Logger
  /** Something may be sent again. */
  readonly onReturned: () => void
}

export function createKeyDesk({ store, logger, onReturned }: KeyDeskParts): KeyDesk {
  return {
    async list(filter = {}, page = {}) {
      return await store().keys.list(checkKeys(filter), checkPage(page, isLineName))
    },
    count: async (filter) => await store().keys.count(checkSelected(filter, checkKeys)),
    async unblock(filter, options = {}) {
      const own = checkSelected(filter, checkKeys)
      checkOptions(options)
      const report = { unblocked: 0, parked: 0 }
      try {
        await walk(store().keys, own, options, async (lines) => {
          const held = lines.filter(({ state }) => state !== 'parked')
          report.parked += lines.length - held.length
          if (held.length > 0) report.unblocked += await store().keys.unblock(held)
        })
      } finally {
        audit(logger, 'keys.unblock', own, report)
        onReturned()
      }
      return report
    },
    async skip(filter, options = {}) {
      const own = checkSelected(filter, checkKeys)
      checkOptions(options)
      const report = { skipped: 0, gone: 0, returned: 0, left: new LeftCounts() }
      const met = new Set<string>()
      try {
        await walk(store().keys, own, options, async (lines) => {
          for (const line of lines) {
            const name = nameOf(line)
            // A key may have lines behind its head's: they are not in its way yet.
            if (met.has(name) || options.signal?.aborted === true) continue
            met.add(name)
            const outcome = line.state === 'parked' ? 'parked' : await store().keys.skip(line)
            if (outcome === 'parked') await releaseFollowers(store().deadLetters, line, report)
            else report[outcome] += 1
          }
        })
      } finally {
        audit(logger, 'keys.skip', own, plain(report))
        onReturned()
      }
      return plain(report)
    },
  }
}

async function releaseFollowers(
  deadLetters: DeadLetters,
  { consumer, channel, key }: HeldKey,
  report: { skipped: number; returned: number; readonly left: LeftCounts },
): Promise<void> {
  const { returned, left } = await deadLetters.replay({
    key: { consumer, channel, key: key! },
    withoutHead: true,
  })
  report.returned += returned
  report.left.add(left)
  if (left.length === 0) report.skipped += 1
}

/** Goes through the lines that fit, in their order. */
async function walk(
  keys: Keys,
  filter: KeyFilter,
  { limit = Infinity, signal }: OperationOptions,
  step: (lines: readonly HeldKey[]) => Promise<void>,
): Promise<void> {
  let rest = limit === Infinity ? limit : checkLimit(limit, Number.MAX_SAFE_INTEGER)
  for (let after: LineName | undefined; rest > 0;) {
    if (signal?.aborted === true) return
    const most = Math.min(batch, rest)
    const lines = await keys.list(filter, { after, limit: most })
    if (lines.length > 0) await step(lines)
    if (lines.length < most) return
    rest -= lines.length
    after = lines.at(-1)
  }
}

function nameOf({ consumer, channel, key, partition, seq }: HeldKey): string {
  return JSON.stringify(key === null ? [consumer, partition, String(seq)] : [consumer, channel, key])
}
