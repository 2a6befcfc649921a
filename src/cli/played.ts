import { exitCodes } from './failure.ts'
import { listenForInterruption, type Interruption } from './interruption.ts'
import type { LiveDisplay } from './live-display.ts'
import type { Output } from './output.ts'

/**
 * Plays something that ends with a verdict, shows how it goes, and tells what came of it. Ctrl-C ends it early, after the same cleaning.
 * Returns the exit code: 0 only where the verdict is valid.
 */
export async function played<Report extends { readonly verdict: string }>(
  output: Output,
  display: Pick<LiveDisplay<never>, 'end'>,
  play: (interruption: Interruption) => Promise<Report>,
  textOf: (report: Report) => string,
): Promise<number> {
  const interruption = listenForInterruption(() => {
    display.end()
    output.note('Stopping, and removing what was started. Once more to stop at once.')
  })
  try {
    const report = await play(interruption)
    display.end()
    output.say(textOf(report))
    output.result(report)
    return report.verdict === 'valid' ? 0 : exitCodes.failed
  } catch (error) {
    display.end()
    const code = interruption.exitCode()
    if (code === undefined) throw error
    output.note('Stopped before its end; nothing is left running.')
    output.result({ error: { code: 'WB_ABORTED', message: 'stopped before its end' } })
    return code
  } finally {
    interruption.dispose()
  }
}
