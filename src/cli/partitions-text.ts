import { holdingText, type PartitionsChange } from '../app/partitions.ts'
import type { BacklogKind } from '../ports/backlog.ts'
import { point, wrap } from './lines.ts'
import type { Page } from './output.ts'
import { visible } from './visible.ts'

const reasons: Readonly<Record<BacklogKind, string>> = {
  waiting: 'not sent yet: is a relay running?',
  retrying: 'tried again later, or behind one that is',
  blocked: 'of blocked keys, which wait for you: waybill keys list',
  delayed: 'not due yet',
}

/** What came of a change of partitions, and what stands in the way of the rest. */
export function partitionsText(changes: readonly PartitionsChange[], { width }: Page): string {
  const lines: string[] = []
  for (const { transport, before, partitions, isDraining, remains, blocked } of changes) {
    const change =
      before === partitions ? `has ${partitions} partitions` : `${before} → ${partitions} partitions`
    if (!isDraining) {
      lines.push(`${transport}: ${change}.`)
      continue
    }
    lines.push(`${transport}: ${change}; relays go on with the older ones.`)
    const isHeld = blocked.length > 0
    for (const { channel, count, isAtLeast, kind } of remains) {
      const many = `${isAtLeast ? 'at least ' : ''}${count}`
      const reason = kind === 'waiting' && isHeld ? 'behind blocked keys, or not sent yet' : reasons[kind]
      lines.push(...point(`${channel}: ${many} ${reason}`, width))
    }
    const holds = remains.some(({ ordered }) => ordered)
    if (isHeld && holds) {
      const next =
        `New messages of ordered channels wait for blocked keys: ${visible(holdingText(blocked))}. ` +
        'See them with waybill keys list --state blocked; then unblock or skip each.'
      lines.push(...wrap(next, width))
      continue
    }
    const next = holds
      ? 'New messages wait until those of ordered channels are sent. Run this again to see what is left.'
      : 'New messages do not wait for them.'
    lines.push(...wrap(next, width))
  }
  return lines.join('\n')
}
