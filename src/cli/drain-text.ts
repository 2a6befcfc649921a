import type { DrainReport, Undelivered } from '../app/drain.ts'
import { point } from './lines.ts'
import type { Page } from './output.ts'

const reasons: Readonly<Record<Undelivered['why'], string>> = {
  waiting: 'not sent: nothing moved any more, or time was up',
  held: 'not sent: their destination takes nothing now',
  retrying: 'tried again later, or behind one that is: waybill keys list',
  blocked: 'of blocked keys, which wait for you: waybill keys list',
  delayed: 'not due yet',
  unconfigured: 'not sent: the channel is not in this configuration',
}

/** What a relay that ran once has left, and why. */
export function drainText({ remains, isCut }: DrainReport, delivered: number, { width }: Page): string {
  const sent = `${delivered} message${delivered === 1 ? '' : 's'} delivered`
  if (remains.length === 0) return `${sent}; nothing is left.`
  const lines = remains.flatMap(({ transport, channel, why, count, isAtLeast, code }) => {
    const many = `${isAtLeast ? 'at least ' : ''}${count}`
    const cause = code === null || code === '' ? '' : ` (${code})`
    return point(`${transport}, ${channel}: ${many} ${reasons[why]}${cause}`, width)
  })
  return [`${sent}; ${isCut ? 'stopped before the end, and ' : ''}this is left:`, ...lines].join('\n')
}
