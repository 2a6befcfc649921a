import Table from 'cli-table3'
import { createLogUpdate } from 'log-update'
import type { DemoView, Phase } from '../demo/view.ts'
import { systemClock, type Clock } from '../kernel/clock.ts'
import type { Colors, Output } from './output.ts'

export interface DemoDisplay {
  show(view: DemoView): void
  /** Takes the live view away; what comes after stands in its place. */
  end(): void
}

/** A view painted anew on a terminal; elsewhere a line on stderr for each second and each new phase. */
export function createDisplay(
  output: Output,
  title: string,
  clock: Pick<Clock, 'now'> = systemClock,
): DemoDisplay {
  if (!output.isLive) {
    let last: Phase | null = null
    let due = 0
    return {
      show(view) {
        if (view.phase === last && clock.now() < due) return
        last = view.phase
        due = clock.now() + 1000
        output.note(progressLine(view))
      },
      end() {},
    }
  }
  const paint = createLogUpdate(process.stderr)
  return {
    show(view) {
      paint(liveView(view, title, output.errorColors))
    },
    end() {
      paint.clear()
      paint.done()
    },
  }
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
