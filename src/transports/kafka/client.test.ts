import { describe, expect, it, vi } from 'vitest'
import { silentLogger } from '../../kernel/logger.ts'
import { kafkaTransport } from './transport.ts'

vi.mock('@platformatic/kafka', () => {
  throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
})

const context = { logger: silentLogger, applicationName: 'a', source: '/a' }

describe('without the Kafka client', () => {
  it('the transport can be declared and opened; publishing and subscribing say what to install', async () => {
    const transport = kafkaTransport({ brokers: ['127.0.0.1:1'] }).open(context)
    const missing = expect.objectContaining({
      code: 'WB_PEER_MISSING',
      message: expect.stringContaining('npm install @platformatic/kafka'),
    })
    await expect(transport.openPublisher!()).rejects.toThrow(missing)
    const request = { consumer: 'c', channels: [], onRevoked: () => {} }
    await expect(transport.subscribe!(request)).rejects.toThrow(missing)
    await transport.close()
  })
})
