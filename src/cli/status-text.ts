import type { CensusRelay } from '../kernel/census.ts'
import type { ChannelSummary, StatusSummary } from '../app/inspection/summary.ts'
import { ageText } from '../app/inspection/warnings.ts'
import { cut, wrap } from './lines.ts'
import type { Page } from './output.ts'
import { tableText } from './table.ts'
import { visible } from './visible.ts'

/** What is where, for people: channels, relays, what was lost, and what to do. */
export function statusText(status: StatusSummary, page: Page): string {
  const { bold, dim, green, yellow } = page.colors
  const sections = [
    channelsText(status, page),
    relaysText(status, page),
    lossesText(status, page),
    status.warnings.length === 0
      ? green('Nothing to look at.')
      : [
          bold(yellow(status.warnings.length === 1 ? 'Look at this' : 'Look at these')),
          ...status.warnings.flatMap(({ level, message, action }) => [
            ...item(level === 'note' ? '·' : '!', visible(message), page.width),
            ...item(' ', visible(action), page.width).map((line) => dim(line)),
          ]),
        ].join('\n'),
  ]
  return sections.filter((section) => section !== '').join('\n\n')
}

function channelsText({ channels, brokerDead }: StatusSummary, page: Page): string {
  if (channels === null) return 'What waits in the outbox could not be counted in time.'
  if (channels.length === 0) return 'No channel is registered yet: start a service, or run waybill migrate.'
  const rows = channels.map((each) => ({
    name: laneName(each.channel, each.consumer),
    figures: [
      number(each.pending, each.isAtLeast),
      each.inFlight === null ? '?' : number(each.inFlight),
      number(each.retrying, each.isFailingAtLeast),
      number(each.blocked + each.parked, each.isFailingAtLeast),
      number(each.dead, each.isDeadAtLeast),
      each.lagMs === null ? '-' : ageText(each.lagMs),
      each.perSecond === null ? '?' : number(each.perSecond),
    ],
    note: noteOf(each),
  }))
  const far = brokerDead.map(({ channel, consumer, count, isAtLeast }) => ({
    name: laneName(channel, consumer),
    figures: ['', '', '', '', number(count, isAtLeast), '', ''],
    note: '',
  }))
  return figuresText('channel', channelTitles, [...rows, ...far], page)
}

const channelTitles = ['pending', 'flight', 'retry', 'held', 'dead', 'lag', 'per s'] as const

/** What has no column, because it is rare. */
function noteOf({ delayed, blocked, parked, isAtLeast, isFailingAtLeast }: ChannelSummary): string {
  return [
    delayed > 0 ? `${number(delayed, isAtLeast)} delayed` : '',
    keysText(blocked, 'blocked', isFailingAtLeast),
    keysText(parked, 'parked', isFailingAtLeast),
  ]
    .filter((text) => text !== '')
    .join(', ')
}

function keysText(count: number, how: string, isAtLeast: boolean): string {
  return count === 0 ? '' : `${number(count, isAtLeast)} ${how} ${count === 1 ? 'key' : 'keys'}`
}

interface FiguresRow {
  readonly name: string
  readonly figures: readonly string[]
  readonly note: string
}

/** Figures are never cut off, and names only by the page: one that has no room beside its figures stands above them. */
function figuresText(
  title: string,
  titles: readonly string[],
  rows: readonly FiguresRow[],
  { colors, width }: Page,
): string {
  const widths = titles.map((each, i) =>
    Math.max(each.length, ...rows.map(({ figures }) => figures[i]!.length)),
  )
  const room = width - widths.reduce((sum, each) => sum + each + 2, 0)
  const line = (figures: readonly string[]): string =>
    figures.map((figure, i) => `  ${figure.padStart(widths[i]!)}`).join('')
  const lines = [colors.dim(title.padEnd(Math.max(room, 0)) + line(titles))]
  for (const { name, figures, note } of rows) {
    const shown = cut(visible(name), width)
    if (shown.length <= room) lines.push(shown.padEnd(room) + line(figures))
    else lines.push(shown, ' '.repeat(Math.max(room, 0)) + line(figures))
    if (note !== '') lines.push(colors.dim(`  ${note}`))
  }
  return lines.map((each) => each.trimEnd()).join('\n')
}

function relaysText({ relays, partitions, at }: StatusSummary, page: Page): string {
  if (relays.length === 0) return 'No relay is running.'
  const totalOf = (relay: CensusRelay): number =>
    partitions.find((lane) => lane.transport === relay.transport && lane.consumer === relay.consumer)
      ?.total ?? 0
  const isNumber = true
  return tableText(
    [
      { title: 'relay of' },
      { title: 'process' },
      { title: 'application' },
      { title: 'partitions', isNumber },
      { title: 'in flight', isNumber },
      { title: 'for', isNumber },
    ],
    relays.map((relay) => [
      laneName(relay.transport, relay.consumer),
      `${relay.isAlive ? '' : 'gone: '}${relay.host}:${relay.pid}`,
      relay.application,
      `${relay.partitions} of ${totalOf(relay)}`,
      relay.report === null
        ? '?'
        : number(Object.values(relay.report.inFlight).reduce((sum, each) => sum + each, 0)),
      ageText(Math.max(at.getTime() - relay.startedAt.getTime(), 0)),
    ]),
    page,
  )
}

function lossesText({ losses, taken, isTakenAtLeast }: StatusSummary, page: Page): string {
  const isNumber = true
  const table =
    losses.length === 0
      ? ''
      : tableText(
          [{ title: 'at most once: lost on' }, { title: 'cause' }, { title: 'messages', isNumber }],
          losses.map(({ channel, consumer, cause, count }) => [
            laneName(channel, consumer),
            cause,
            number(count),
          ]),
          page,
        )
  const open =
    taken === 0 ? '' : `Taken for their one send, and not ended yet: ${number(taken, isTakenAtLeast)}.`
  return [table, open].filter((text) => text !== '').join('\n')
}

function item(mark: string, text: string, width: number): readonly string[] {
  return wrap(text, width - 4).map((line, i) => `  ${i === 0 ? mark : ' '} ${line}`)
}

function laneName(name: string, consumer: string): string {
  return consumer === '' ? name : `${name} › ${consumer}`
}

function number(value: number, isAtLeast = false): string {
  const text = value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 })
  return isAtLeast ? `≥ ${text}` : text
}
