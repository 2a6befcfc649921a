import { expect, it } from 'vitest'
import { serviceFlagsText } from './prove-service.ts'

it('gives flags as a shell takes them again, quotes of names and all', () => {
  const flags = {
    config: 'my config.ts',
    handlers: 'handlers.ts',
    tables: ['shipments', `"O'Shop"."Stock"`],
    ignore: [],
    maxRows: 100_000,
    leaseMs: '5s',
  }
  expect(serviceFlagsText(flags)).toEqual([
    "--config 'my config.ts'",
    '--handlers handlers.ts',
    `--tables 'shipments,"O'\\''Shop"."Stock"'`,
    '--lease-ms 5s',
  ])
})
