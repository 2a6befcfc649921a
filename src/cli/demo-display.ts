import Table from 'cli-table3'
import type { DemoView, Phase } from '../demo/view.ts'
import type { Clock } from '../kernel/clock.ts'
import { createLiveDisplay, type LiveDisplay } from './live-display.ts'
import type { Colors, Output } from './output.ts'

export type DemoDisplay = LiveDisplay<DemoView>

/** A view painted anew on a terminal; elsewhere a line on stderr for each second and each new phase. */
export function createDisplay(output: Output, title: string, clock?: Pick<Clock, 'now'>): DemoDisplay {
  const live = (view: DemoView, colors: Colors): string => liveView(view, title, colors)
  const shown = { live, line: progressLine, what: ({ phase }: DemoView) => phase, everyMs: 1000 }
  return createLiveDisplay(output, shown, clock)
}

export function progressLine(view: DemoView): string {
  return [
    `${view.phase} ${view.elapsedSeconds.toFixed(0)}/${view.seconds} s`,
    `orders ${view.orders} (${rateOf(view)}/s)`,
    `outbox ${view.depth} (lag ${view.lagMs} ms)`,
    `shipments ${view.shipments}`,
    `duplicates suppressed ${view.duplicatesSuppressed}`,
    `kills ${view.kills}${view.lastKilled === null ? '' : ` (last ${view.lastKilled})`}`,
  ].join(' | ')
}

const phases: Readonly<Record<Phase, string>> = {
  starting: 'starting',
  running: 'orders are placed and processes killed',
  draining: 'the shop is closed; what is under way is shipped',
  judging: 'judging by SQL',
}

export function liveView(view: DemoView, title: string, colors: Colors): string {
  const { bold, dim, green, yellow } = colors
  const figures = plainTable()
  figures.push(
    ['orders', number(view.orders), dim(`${rateOf(view)} per second`)],
    ['outbox', number(view.depth), dim(`lag ${view.lagMs} ms`)],
    ['shipments', number(view.shipments), ''],
    ['duplicates suppressed', number(view.duplicatesSuppressed), ''],
    ['kills', number(view.kills), view.lastKilled === null ? '' : dim(`last ${view.lastKilled}`)],
  )
  const processes = plainTable(['process', 'pid', 'killed', ''].map((head) => dim(head)))
  const shown = { running: green('running'), starting: yellow('starting'), ended: dim('ended') }
  for (const { name, note, pid, state, kills } of view.processes) {
    const label = note === '' ? name : `${name} ${dim(`(${note})`)}`
    processes.push([label, pid === null ? '' : String(pid), String(kills), shown[state]])
  }
  const clock = `${view.elapsedSeconds.toFixed(0)} of ${view.seconds} s`
  return `${bold(title)}  ${dim(`${clock}: ${phases[view.phase]}`)}\n\n${figures.toString()}\n\n${processes.toString()}\n`
}

/** Columns without lines around them. */
export function plainTable(head: readonly string[] = []): InstanceType<typeof Table> {
  const sides = ['top', 'bottom', 'left', 'right', 'mid', 'left-mid', 'mid-mid', 'right-mid'] as const
  const corners = ['top-mid', 'top-left', 'top-right', 'bottom-mid', 'bottom-left', 'bottom-right'] as const
  return new Table({
    ...(head.length === 0 ? {} : { head: [...head] }),
    colAligns: ['left', 'right', head.length === 0 ? 'left' : 'right', 'left'],
    chars: { ...Object.fromEntries([...sides, ...corners].map((name) => [name, ''])), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
}

export function number(value: number): string {
  return value.toLocaleString('en-US')
}

function rateOf(view: DemoView): number {
  return view.elapsedSeconds === 0 ? 0 : Math.round(view.orders / view.elapsedSeconds)
}
