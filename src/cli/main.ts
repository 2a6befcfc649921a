import { runCli } from './program.ts'
import { readerGone } from './reader-gone.ts'

readerGone(process.stdout)
readerGone(process.stderr)
process.exitCode = await runCli(process.argv.slice(2))
