import { expect, it } from 'vitest'
import { z } from 'zod'
import { resolveConfig } from '../../app/config.ts'
import { defineChannel } from '../../outbox/channel.ts'
import { postgresStore } from '../../stores/postgres/store.ts'
import { localTransport } from '../../transports/local/transport.ts'
import { chanceOf } from '../../testing/chance.ts'
import { Payloads } from './payloads.ts'

/** Of one channel with this schema. */
function payloadsOf(schema: z.ZodType): Promise<Payloads> {
  const config = resolveConfig({
    store: postgresStore({ connectionString: 'postgres://nobody@nowhere:1/none' }),
    transports: { local: localTransport() },
    channels: [defineChannel({ name: 'numbers', schema })],
  })
  const pair = { name: 'numbers', channel: 'numbers', consumer: 'prove', transforms: false }
  const settings = { config: '', flags: {}, pairs: [pair], messages: null, handlers: null }
  return Payloads.of({ config, settings } as unknown as Parameters<typeof Payloads.of>[0])
}

it('makes up what a schema with open bounds takes, again and again', async () => {
  const payloads = await payloadsOf(z.int().positive().lt(20))
  const chance = chanceOf(3)
  const made = new Set<unknown>()
  for (let i = 0; i < 300; i++) made.add((await payloads.draw('numbers', chance)).payload)
  expect(made.size).toBe(19)
})

it.each<[string, z.ZodType]>([
  [
    'one of two choices',
    z.union([
      z.object({ kind: z.literal('a'), code: z.string().regex(/^[A-Z]{3}$/u) }),
      z.object({ kind: z.literal('b') }),
    ]),
  ],
  ['one value of a few', z.int().refine((number) => number !== 17)],
  [
    'what two choices of the same message make together',
    z.object({ a: z.boolean(), b: z.boolean(), c: z.boolean() }).refine(({ a, b, c }) => !a || b || !c),
  ],
])('says at the start that %s cannot be made, and what to do', async (_what, schema) => {
  await expect(payloadsOf(schema)).rejects.toMatchObject({
    code: 'WB_INVALID_OPTION',
    message: expect.stringMatching(/channel "numbers" .*Give examples with --messages\.$/u),
  })
})
