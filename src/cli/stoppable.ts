import { listenForInterruption } from './interruption.ts'
import type { Output } from './output.ts'

/**
 * Work in several steps that Ctrl-C or SIGTERM ends between two of them, so that what it has done can be told. The exit code is then
 * the signal's, whatever `work` gave before.
 */
export async function stoppable<T>(
  output: Output,
  onExitCode: (code: number) => void,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interruption = listenForInterruption(() => {
    output.note('Stopping: what is under way ends first. Once more to stop at once.')
  })
  try {
    return await work(interruption.signal)
  } finally {
    interruption.dispose()
    const code = interruption.exitCode()
    if (code !== undefined) onExitCode(code)
  }
}
