import { randomUUID } from 'node:crypto'
import * as library from '@platformatic/kafka'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Child, spawnChild } from '../../../src/testing/child.ts'
import { until } from '../../../src/testing/until.ts'
import { Commits, type Membership } from '../../../src/transports/kafka/commits.ts'
import { Coordinator } from '../../../src/transports/kafka/coordinator.ts'
import { GroupMember } from '../../../src/transports/kafka/group-member.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { committedOffsets, createTopic, publish } from './broker-desk.ts'
import type { MemberTask } from './children/member.ts'
import {
  groupProtocols,
  messagesTo,
  openTransport,
  quickGroups,
  receiveCount,
  proxiedKafka,
  subscribe,
} from './scene.ts'

const timing = { sessionTimeoutMs: 600, requestTimeoutMs: 3000 }

describeWithKafka('the settlement of Kafka positions', () => {
  const kafka = proxiedKafka(quickGroups)

  describe.each(groupProtocols)('(%s protocol)', (groupProtocol) => {
    const quick = { ...timing, groupProtocol }

    /** A member in a process of its own; resolves when it has received so many. */
    const startMember = async (task: Omit<MemberTask, 'options'>): Promise<Child> => {
      const options = { ...quick, brokers: kafka.brokers }
      const member = spawnChild({
        script: new URL('children/member.ts', import.meta.url).pathname,
        args: [JSON.stringify({ options, ...task } satisfies MemberTask)],
        ipc: true,
      })
      onTestFinished(async () => {
        await member.kill()
      })
      await member.waitForMessage((message: { received?: number }) => message.received === task.count)
      return member
    }

    it('leaves the member its stream until it was stopped for longer than its session (O1)', async () => {
      const topic = await createTopic(kafka.brokers, 1)
      const consumer = randomUUID()
      await publish(kafka.brokers, messagesTo(topic, ['k'], 3))
      const zombie = await startMember({ topic, consumer, count: 3 })
      let asked = 0
      const ask = async (question: string): Promise<unknown> => {
        asked += 1
        zombie.send(question)
        let heard = 0
        return await zombie.waitForMessage((message: object) => !('received' in message) && ++heard === asked)
      }
      expect(await ask('settle')).toEqual({ settled: true })
      expect(await ask('hold')).toEqual({ holds: true })
      await publish(kafka.brokers, messagesTo(topic, ['k'], 1))
      zombie.pause()
      const successor = await subscribe(openTransport(kafka.brokers, quick), [topic], { consumer })
      const [next] = await receiveCount(successor, 1)
      expect(next!.position).toBe(3n)
      expect(await successor.settle([next!])).toEqual([true])
      expect(await successor.stillHolds!(next!)).toBe(true)
      const answer = ask('hold')
      zombie.resume()
      expect(await answer).toEqual({ holds: false })
    })

    it('is refused of a member that was stopped for longer than its session, and its successor’s stays', async () => {
      const topic = await createTopic(kafka.brokers, 1)
      const consumer = randomUUID()
      await publish(kafka.brokers, messagesTo(topic, ['k'], 30))
      const zombie = await startMember({ topic, consumer, count: 30 })
      zombie.pause()
      const successor = await subscribe(openTransport(kafka.brokers, quick), [topic], { consumer })
      const deliveries = await receiveCount(successor, 30)
      expect(deliveries[0]!.position).toBe(0n)
      expect(await successor.settle([deliveries[9]!])).toEqual([true])
      zombie.send('settle')
      zombie.resume()
      const { settled } = await zombie.waitForMessage(
        (message: { settled?: unknown }) => message.settled !== undefined,
      )
      expect(settled).toBe(false)
      expect(await committedOffsets(kafka.brokers, consumer, topic, 1)).toEqual([10n])
      // Its successor goes on, with the partition or with it anew.
      await zombie.kill()
      await publish(kafka.brokers, messagesTo(topic, ['k'], 1))
      const stop = new AbortController()
      onTestFinished(() => stop.abort())
      const work = (async () => {
        while (!stop.signal.aborted) {
          const last = (await successor.receive(100, stop.signal)).at(-1)
          if (last !== undefined) await successor.settle([last])
        }
      })()
      await until('the settlement of everything', async () => {
        const [offset] = await committedOffsets(kafka.brokers, consumer, topic, 1)
        return offset === 31n
      })
      stop.abort()
      await work
    })
  })

  it('is refused by the broker in the name of a generation that is over, and has no effect', async () => {
    const topic = await createTopic(kafka.brokers, 2)
    const groupId = randomUUID()
    const client = new library.Consumer({
      ...{ clientId: 'test', bootstrapBrokers: [...kafka.brokers], groupId },
    })
    onTestFinished(() => client.close(true))
    client.topics.track(topic)
    const memberId = await client.joinGroup({})
    const commit = async (membership: Partial<Membership>, offset: bigint): Promise<string[]> => {
      const { generationId } = client
      const commits = new Commits({
        kafka: library,
        client,
        coordinator: new Coordinator(library, client, groupId),
        membership: { memberId, generationId, outlastsAssignments: false, ...membership },
        timeoutMs: 3000,
        onDoubt: () => {},
      })
      const signal = new AbortController().signal
      return [...(await commits.commit([{ topic, partition: 1, offset }], signal))]
    }
    expect(await commit({}, 5n)).toEqual([`${topic}/1`])
    expect(await commit({ generationId: client.generationId - 1 }, 7n)).toEqual([])
    expect(await commit({ memberId: `${memberId}-gone` }, 8n)).toEqual([])
    expect(await committedOffsets(kafka.brokers, groupId, topic, 2)).toEqual([-1n, 5n])
  })

  it('goes again in the name of the next epoch of a member, and is refused of one that has left', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const groupId = randomUUID()
    const client = new library.Consumer({
      ...{ clientId: 'test', bootstrapBrokers: [...kafka.brokers], groupId },
    })
    onTestFinished(() => client.close(true))
    const coordinator = new Coordinator(library, client, groupId)
    const assigned = Promise.withResolvers<unknown>()
    const member = new GroupMember({
      ...{ kafka: library, client, coordinator, topics: [topic] },
      ...{ rebalanceTimeoutMs: 3000, requestTimeoutMs: 3000 },
      onRevoking: async () => {},
      onAssigned: (streams) => void (streams.length > 0 && assigned.resolve(streams)),
    })
    const stop = new AbortController()
    const belonging = member.belong(stop.signal)
    expect(await assigned.promise).toEqual([{ topic, partitions: [0] }])
    const epochs: number[] = []
    const membership: Membership = {
      memberId: member.memberId,
      outlastsAssignments: true,
      get generationId() {
        const epoch = member.generationId - (epochs.length === 0 ? 1 : 0)
        epochs.push(epoch)
        return epoch
      },
    }
    const commit = async (offset: bigint): Promise<string[]> => {
      const onDoubt = (): void => {}
      const commits = new Commits({
        ...{ kafka: library, client, coordinator, membership, timeoutMs: 3000, onDoubt },
      })
      return [...(await commits.commit([{ topic, partition: 0, offset }], new AbortController().signal))]
    }
    expect(await commit(5n)).toEqual([`${topic}/0`])
    expect(epochs).toHaveLength(2)
    stop.abort()
    await belonging
    await member.leave(AbortSignal.timeout(3000))
    expect(await commit(7n)).toEqual([])
    expect(await committedOffsets(kafka.brokers, groupId, topic, 1)).toEqual([5n])
  })
})
