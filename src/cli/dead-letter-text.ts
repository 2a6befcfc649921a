import { durationText } from '../guarantees/duration.ts'
import type { DeadLetterSummary, DeadReason, FullDeadLetter, LeftReason } from '../ports/dead-letters.ts'
import { point, wrap } from './lines.ts'
import type { Page } from './output.ts'
import { payloadText } from './payload-text.ts'
import { tableText } from './table.ts'
import { visible } from './visible.ts'

const reasons: Readonly<Record<DeadReason, string>> = {
  'attempts-exhausted': 'attempts',
  rejected: 'rejected',
  unreadable: 'unreadable',
  follower: 'follower',
  skipped: 'skipped',
}

/** One line for each, without payloads. `now` is for people: ages by this machine's clock. */
export function deadLettersText(letters: readonly DeadLetterSummary[], page: Page, now: Date): string {
  return tableText(
    [
      { title: 'number', isNumber: true },
      { title: 'age', isNumber: true },
      { title: 'channel' },
      { title: 'key' },
      { title: 'consumer' },
      { title: 'reason' },
      { title: 'tries', isNumber: true },
      { title: 'last error' },
    ],
    letters.map((letter) => [
      String(letter.number),
      ageText(letter.diedAt, now),
      letter.channel,
      letter.key ?? '-',
      letter.consumer === '' ? '(relay)' : letter.consumer,
      markOf(letter),
      String(letter.attempts),
      `${letter.errorCode}: ${letter.error}`,
    ]),
    page,
  )
}

function markOf({ reason, isKeyParked, replayAt }: DeadLetterSummary): string {
  if (replayAt !== null) return 'replay asked'
  return isKeyParked && reason !== 'follower' ? `${reasons[reason]}, parked` : reasons[reason]
}

/** Everything there is to know of one, and what to do next. */
export function deadLetterText(letter: FullDeadLetter, page: Page, now: Date, mostBytes: number): string {
  const { bold, dim, red } = page.colors
  const field = (name: string, ...lines: readonly string[]): readonly string[] =>
    lines.flatMap((line, i) => {
      const label = dim((i === 0 ? name : '').padEnd(labelWidth))
      return `  ${label}${line}`
    })
  const errorLines = (code: string, error: string, at: Date): readonly string[] => [
    red(visible(code)),
    ...wrap(visible(error), page.width - labelWidth - 2),
    dim(timeText(at, now)),
  ]
  const attempts = letter.attempts === 1 ? '1 attempt' : `${letter.attempts} attempts`
  const hasTwoErrors =
    letter.firstErrorCode !== letter.errorCode ||
    letter.firstError !== letter.error ||
    letter.firstFailedAt.getTime() !== letter.diedAt.getTime()
  const payload = payloadText(letter.payload, letter.contentType, mostBytes)
  const bytes = letter.payload.byteLength
  const headers = Object.entries(letter.headers)
  return [
    `${bold(`Dead letter ${letter.number}`)}  ${letter.reason}`,
    ...field('message', letter.id),
    ...field('channel', visible(letter.channel)),
    ...field('key', letter.key === null ? '-' : visible(letter.key)),
    ...field('from', ...wrap(visible(originText(letter)), page.width - labelWidth - 2)),
    ...field('published', timeText(letter.createdAt, now)),
    ...field('given up', `${timeText(letter.diedAt, now)}, ${attempts}`),
    ...(hasTwoErrors
      ? field('first error', ...errorLines(letter.firstErrorCode, letter.firstError, letter.firstFailedAt))
      : []),
    ...field('last error', ...errorLines(letter.errorCode, letter.error, letter.diedAt)),
    ...field(
      'headers',
      ...(headers.length === 0 ? ['none'] : headers.map((header) => header.map(visible).join(': '))),
    ),
    ...field('payload', `${visible(letter.contentType)}, ${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`),
    ...payload.lines.map((line) => `    ${line}`),
    ...(payload.hiddenBytes > 0 ? [dim(`    … ${payload.hiddenBytes} bytes more: --full shows them`)] : []),
    bold('What to do'),
    ...nextSteps(letter).flatMap((step) => point(step, page.width)),
  ].join('\n')
}

const labelWidth = 13

function originText({ consumer, partition, seq }: FullDeadLetter): string {
  if (consumer === '')
    return `the relay: no consumer had it. It stood in partition ${partition}, number ${seq}`
  return partition === null
    ? `consumer "${consumer}"`
    : `consumer "${consumer}" of the same database. It stood in partition ${partition}, number ${seq}`
}

/** What somebody can do about it, most useful first. */
export function nextSteps(letter: DeadLetterSummary): readonly string[] {
  const { number, consumer, reason, isKeyParked, replayAt } = letter
  const replay = `waybill dead replay --id ${number}`
  if (replayAt !== null) {
    return [
      `Its replay is asked for: a process of consumer "${visible(consumer)}" takes it when it looks next. If it stays so, none is ` +
        'running, or none has a handler for the channel.',
    ]
  }
  if (isKeyParked) {
    return [
      `Its key is parked. Mend what the head's error names, then \`${replay}\` brings the whole key back, in order.`,
      `To go on without the head: \`waybill keys skip\` with --channel and --key. It stays here, and the others come back.`,
    ]
  }
  const purge = `To give it up for good: \`waybill dead purge --id ${number}\`.`
  const steps: Readonly<Record<DeadReason, string>> = {
    'attempts-exhausted': `Mend what the last error names, then \`${replay}\`.`,
    rejected: `As it is it is refused each time. Mend the handler or the destination, then \`${replay}\`.`,
    unreadable: `No process could read it: update the service, or give its channel an upcast or a schema, then \`${replay}\`.`,
    follower: `It stood behind a message that failed. \`${replay}\` delivers it.`,
    skipped: `An operator gave it up so that its key could go on. \`${replay}\` delivers it, behind what has left since.`,
  }
  return [steps[reason], purge]
}

const leftWords: Readonly<Record<LeftReason, string>> = {
  'key-parked': 'of a parked key. Name the whole key with --channel and --key, or see `waybill keys skip`.',
  'no-channel':
    'of a channel that is not registered. Run `waybill migrate` with a configuration that lists it.',
  'no-consumer': 'of a consumer without a subscription. Start its service once.',
  'no-place':
    'that another consumer has still to get, from other partitions than those of now (`waybill migrate --partitions`). Again when it has.',
  expired:
    'older than their channel lets be sent (`expiresAfterMs`): they would be deleted unsent. Raise it, or purge them.',
  'key-expired':
    'of a parked key with messages older than their channel lets be sent (`expiresAfterMs`), which would be deleted unsent. Raise it; or ' +
    '`waybill keys skip` with --channel and --key brings back what stands behind the head, but for what is too old.',
  'asked-already': "asked for already. Their consumer's process takes them when it looks next.",
  busy: 'being run or changed at this moment. Look again in a while.',
}

export function leftText(why: LeftReason, count: number): string {
  return `Left: ${count} ${leftWords[why]}`
}

/** `3 h 12 min`, or `0 s` for what this machine's clock has still before it. */
export function ageText(at: Date, now: Date): string {
  return durationText(Math.max(0, Math.floor((now.getTime() - at.getTime()) / 1000) * 1000))
}

function timeText(at: Date, now: Date): string {
  // What nobody dated.
  if (at.getTime() === 0) return 'unknown'
  return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC (${ageText(at, now)} ago)`
}
