import { expect, test } from 'vitest'
import { resolveConfig } from '../app/config.ts'
import { defineChannel } from '../outbox/channel.ts'
import { postgresStore } from '../stores/postgres/store.ts'
import { localTransport } from '../transports/local/transport.ts'
import { leftOutSentence, readMessages } from './idempotency-messages.ts'

const { routes } = resolveConfig({
  store: postgresStore({ connectionString: 'postgres://nobody@nowhere:1/none' }),
  transports: { local: localTransport() },
  channels: ['ex', 'eff'].map((name) => defineChannel({ name, guarantee: 'exactly-once' })),
})

function lines(...channels: readonly (string | undefined)[]): string {
  return channels.map((channel) => JSON.stringify({ channel, key: 'k', payload: { id: 1 } })).join('\n')
}

test('messages of channels that nobody asked for are left out and counted', async () => {
  const read = await readMessages(lines('ex', 'ex', 'eff', 'eff', undefined), routes, ['eff'])
  expect([...read.byChannel].map(([channel, { length }]) => [channel, length])).toEqual([['eff', 3]])
  expect(leftOutSentence(read)).toMatch(/are left out: 2 of ex\.$/u)
  expect(leftOutSentence(await readMessages(lines('eff'), routes, ['eff']))).toBeUndefined()
})

test('a channel that the configuration does not have is refused, with the one that may be meant', async () => {
  await expect(readMessages(lines('ex', 'efff'), routes, ['ex'])).rejects.toMatchObject({
    code: 'WB_INVALID_OPTION',
    message: expect.stringMatching(
      /line 2 of the messages names no channel .*\(ex, eff\)\. Did you mean "eff"\?/u,
    ),
  })
  await expect(readMessages(lines(undefined), routes, ['ex', 'eff'])).rejects.toThrow('line 1')
})
