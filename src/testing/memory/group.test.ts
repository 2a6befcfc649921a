import { expect, it } from 'vitest'
import type { Subscription } from '../../ports/transport.ts'
import { messagesTo } from '../conformance/transport-scene.ts'
import { Group } from './group.ts'
import { Records } from './records.ts'

const address = 'somewhere'
const envelopes = messagesTo(address, ['a'], 3).map(({ envelope }) => envelope)

function groupOf(publish: (outputs: readonly unknown[]) => void = () => {}): Group {
  const group = new Group({ consumer: 'all', records: new Records(() => null), publish })
  for (const envelope of envelopes) group.put(address, envelope)
  return group
}

const request = {
  consumer: 'all',
  channels: [{ channel: address, address }],
  onRevoked: () => {},
}

async function idsFrom(subscription: Subscription): Promise<readonly (string | undefined)[]> {
  const deliveries = await subscription.receive(50, AbortSignal.timeout(10_000))
  return deliveries.map(({ envelope }) => envelope?.id)
}

const ids = envelopes.map(({ id }) => id)

it('emits nothing of a transform whose streams have another subscription now', async () => {
  const outputs: unknown[] = []
  const group = groupOf((given) => void outputs.push(...given))
  const older = group.subscribe(request)
  const deliveries = await older.receive(50, AbortSignal.timeout(10_000))
  const newer = group.subscribe(request)
  const output = messagesTo('elsewhere', ['a'], 1)
  expect(await older.commit!(deliveries, output, 1000)).toEqual({ outcome: 'refused' })
  expect(outputs).toEqual([])
  expect(await idsFrom(newer)).toEqual(ids)
})

it('moves no position for a subscription that is replaced while it is asked where to start', async () => {
  const group = groupOf()
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<ReadonlyMap<string, bigint>>()
  const older = group.subscribe({
    ...request,
    startAt: () => {
      asked.resolve()
      return answer.promise
    },
  })
  const end = new AbortController()
  const waiting = older.receive(50, end.signal)
  await asked.promise
  const newer = group.subscribe(request)
  answer.resolve(new Map([[`${address}/0`, 3n]]))
  expect(await idsFrom(newer)).toEqual(ids)
  expect(group.isSettled).toBe(false)
  end.abort()
  expect(await waiting).toEqual([])
})
