import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { registerHandlers } from '../../src/prove/service/handlers.ts'

type Run = (given: string[], context: object) => Promise<void> | void

it('handlers of a module run with all middleware that it adds, also behind them, as in the service', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-handlers-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const handlers = join(folder, 'handlers.mjs')
  writeFileSync(
    handlers,
    `export default (waybill) => {
      const noting = (name) => async (given, context, next) => {
        given.push(name)
        await next()
      }
      const channel = { name: 'orders.placed' }
      waybill.consume(channel, { consumer: 'one' }, (given) => void given.push('handler'))
      waybill.consume(channel, { consumer: 'many', batch: true }, (given) => void given.push('handler'))
      waybill.use({ consume: noting('around one'), consumeBatch: noting('around many') })
    }`,
  )
  const registered: Run[] = []
  const pairs = ['one', 'many'].map((consumer) => ({ channel: 'orders.placed', consumer }))
  const parts = {
    waybill: { consume: (_channel: unknown, _options: unknown, run: Run) => registered.push(run) },
    service: { config: { routes: new Map() }, settings: { handlers, pairs }, handlerTimeoutMs: 1000 },
    id: 'run',
    ledger: { around: (_call: unknown, run: () => Promise<void>) => run() },
  }
  await registerHandlers(parts as unknown as Parameters<typeof registerHandlers>[0])
  const seen: string[] = []
  for (const run of registered) await run(seen, {})
  expect(seen).toEqual(['around one', 'handler', 'around many', 'handler'])
})
