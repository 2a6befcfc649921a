import { exitCodes } from './failure.ts'
import { runCli } from './program.ts'
import { onUnwritable, readerGone } from './reader-gone.ts'

let isLost = false
onUnwritable(process.stdout, (reason) => {
  isLost = true
  // Also where it comes after everything else has ended.
  process.exitCode = exitCodes.failed
  process.stderr.write(`error The output could not be written to stdout: ${reason}\n`)
})
// Of what is wrong with stderr nobody can be told, and a relay does its work all the same.
readerGone(process.stderr)
const code = await runCli(process.argv.slice(2))
process.exitCode = isLost && code === 0 ? exitCodes.failed : code
