// Loaded by `node --import` before the program: arms what the environment says. An unknown name ends the process here, with
// its reason on stderr: a crash test whose point never fires would be green for ever.
import { armFailpoints } from './failpoints.ts'

armFailpoints(process.env['WAYBILL_FAILPOINTS'] ?? '')
