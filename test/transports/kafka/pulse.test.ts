import { expect, it } from 'vitest'
import { silentLogger } from '../../../src/kernel/logger.ts'
import { kafkaTransport } from '../../../src/kafka.ts'
import type { Transport } from '../../../src/ports/transport.ts'
import { freePort, startProxy, until } from '../../../src/testing.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'

function open(brokers: readonly string[]): Transport {
  return kafkaTransport({ brokers: [...brokers] }).open({
    logger: silentLogger,
    applicationName: 'pulse',
    source: '/test',
  })
}

describeWithKafka('the pulse of a broker', () => {
  it('is felt where it answers, and not where nobody listens', async () => {
    const [there, nowhere] = [open(await kafkaBrokers()), open([`127.0.0.1:${await freePort()}`])]
    try {
      await there.ping!(5000)
      await there.ping!(5000)
      await expect(nowhere.ping!(5000)).rejects.toThrow()
    } finally {
      await Promise.all([there.close(), nowhere.close()])
    }
  })

  it('is not felt through a network that answers nothing, and is again when it heals', async () => {
    const [broker] = await kafkaBrokers()
    await using proxy = await startProxy({ port: Number(broker!.split(':')[1]) })
    const transport = open([`127.0.0.1:${proxy.port}`])
    try {
      proxy.blackHole()
      await expect(transport.ping!(300)).rejects.toMatchObject({ code: 'WB_TIMED_OUT' })
      await proxy.heal()
      await until('it answers', () =>
        transport.ping!(5000).then(
          () => true,
          () => false,
        ),
      )
    } finally {
      await transport.close()
    }
  })

  it('is a member’s own when it has joined its group', async () => {
    const transport = open(await kafkaBrokers())
    try {
      const subscription = await transport.subscribe!({
        consumer: `pulse-${Date.now()}`,
        channels: [{ channel: 'pulse', address: `pulse-${Date.now()}` }],
        onRevoked: () => {},
      })
      expect(subscription.isMember).toBe(false)
      await until('it is a member', () => subscription.isMember === true)
      await subscription.close()
      expect(subscription.isMember).toBe(false)
    } finally {
      await transport.close()
    }
  })
})
