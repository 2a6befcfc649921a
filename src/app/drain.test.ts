import { expect, it } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import type { Backlog } from '../ports/backlog.ts'
import type { ResolvedConfig } from './config.ts'
import { createDrain, type DrainReport } from './drain.ts'
import type { WaybillStatus } from './running.ts'

const unreachable = new WaybillError('WB_STORE_UNREACHABLE', 'no', { retryable: 'yes' })
const broken = new WaybillError('WB_VERSION_UNKNOWN', 'no')

/** Of a service with one channel, whose looks at the backlog end one after the other in these ways; the last goes on. */
function drain(leaseMs: number, looks: readonly (Error | number)[]): Promise<DrainReport> {
  const left = [...looks]
  const backlog: Pick<Backlog, 'mark' | 'look'> = {
    mark: async () => 9n,
    look: async () => {
      const found = left.length > 1 ? left.shift()! : left[0]!
      if (found instanceof Error) throw found
      return found === 0 ? [] : [{ channel: 'orders', kind: 'waiting', count: found, isAtLeast: false }]
    },
  }
  const channel = { name: 'orders', isStored: true }
  const config = {
    settings: { leaseMs, publishTimeoutMs: 0 },
    transports: new Map([['kafka', { capabilities: { isLocal: false } }]]),
    routes: new Map([['orders', { transport: 'kafka', channel }]]),
  } as unknown as ResolvedConfig
  const status = { isRunning: true, parts: [] } as unknown as WaybillStatus
  return createDrain(
    config,
    () => ({ backlog }),
    () => status,
  )()
}

it('a look at the backlog that fails is made again', async () => {
  expect(await drain(60_000, [3, unreachable, unreachable, 0])).toEqual({ remains: [], isCut: false })
})

it('an error that lasts is told, and one that time does not mend at once', async () => {
  await expect(drain(1, [3, unreachable])).rejects.toBe(unreachable)
  await expect(drain(60_000, [3, broken])).rejects.toBe(broken)
})
