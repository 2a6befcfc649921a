// Loaded by `node --import` before the program of a child.
import { flushCompileCache } from 'node:module'
import { armFailpoints } from './failpoints.ts'

// An unknown name ends the process here, with its reason on stderr: a crash test whose point never fires would be green for ever.
armFailpoints(process.env['WAYBILL_FAILPOINTS'] ?? '')

// Node writes its compile cache when a process ends, and one that is killed has no end. Without it each start of a TypeScript file takes a third
// of a second of processor time for the stripping of its types alone. Whoever is killed before leaves it to a later one.
for (const ms of [300, 1000, 5000]) setTimeout(flushCompileCache, ms).unref()
