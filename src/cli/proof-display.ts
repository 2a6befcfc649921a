import type { Clock } from '../kernel/clock.ts'
import type { Phase, ProofView } from '../prove/view.ts'
import { number, plainTable } from './demo-display.ts'
import { createLiveDisplay, type LiveDisplay } from './live-display.ts'
import type { Colors, Output } from './output.ts'

export type ProofDisplay = LiveDisplay<ProofView>

const phases: Readonly<Record<Phase, string>> = {
  starting: 'starting',
  baseline: 'no fault yet',
  faults: 'quiet',
  draining: 'all is mended; what is under way comes to its end',
  judging: 'judging',
  over: 'over',
}

/** A view painted anew on a terminal; elsewhere a line on stderr for each fault and each new phase. */
export function createProofDisplay(output: Output, title: string, clock?: Pick<Clock, 'now'>): ProofDisplay {
  const live = (view: ProofView, colors: Colors): string => liveView(view, title, colors)
  return createLiveDisplay(output, { live, line: progressLine, what: whatRuns, everyMs: 5000 }, clock)
}

export function progressLine(view: ProofView): string {
  return [
    `${view.elapsedSeconds.toFixed(0)}/${view.seconds} s`,
    whatRuns(view),
    `committed ${view.committed}`,
    `effects ${view.effects}`,
    `lag ${view.lagMs} ms`,
  ].join(' | ')
}

function whatRuns({ phase, fault }: ProofView): string {
  return fault === null ? phases[phase] : `fault: ${fault}`
}

export function liveView(view: ProofView, title: string, colors: Colors): string {
  const { bold, dim, green, red, yellow } = colors
  const figures = plainTable()
  figures.push(
    ['committed', number(view.committed), ''],
    ['effects', number(view.effects), ''],
    ['waiting', number(view.waiting), dim(`lag ${view.lagMs} ms`)],
    ['faults so far', number(view.faults), ''],
  )
  const processes = plainTable(['process', 'pid', 'killed', ''].map((head) => dim(head)))
  const shown = { running: green('running'), starting: yellow('starting'), ended: dim('ended') }
  for (const { name, pid, state, kills } of view.processes)
    processes.push([name, pid === null ? '' : String(pid), String(kills), shown[state]])
  const clock = `${view.elapsedSeconds.toFixed(0)} of ${view.seconds} s`
  const now = view.fault === null ? dim(whatRuns(view)) : red(whatRuns(view))
  return `${bold(title)}  ${dim(clock)}  ${now}\n\n${figures.toString()}\n\n${processes.toString()}\n`
}
