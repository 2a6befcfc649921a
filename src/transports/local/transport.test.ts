import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../kernel/logger.ts'
import { localTransport } from './transport.ts'

describe('localTransport', () => {
  it('orders batches, has no publisher and no subscription, and takes 1 MiB', async () => {
    const definition = localTransport()
    expect(definition.capabilities).toMatchObject({
      ordersBatch: true,
      isLocal: true,
      maxBytes: 1_048_576,
      fences: false,
      seeks: false,
    })
    const transport = definition.open({ logger: silentLogger, applicationName: 'a', source: 's' })
    expect(transport.kind).toBe('local')
    expect(transport.openPublisher).toBeUndefined()
    expect(transport.subscribe).toBeUndefined()
    await transport.close()
  })

  it('takes another size', () => {
    expect(localTransport({ maxBytes: 10 }).capabilities.maxBytes).toBe(10)
  })

  it.each([
    [{ maxByte: 1 }, 'Did you mean "maxBytes"?'],
    [{ maxBytes: 0 }, 'from 1'],
    [null, 'an object'],
  ])('refuses %j', (options, sentence) => {
    expect(() => localTransport(options as never)).toThrow(
      expect.objectContaining({ code: 'WB_INVALID_OPTION', message: expect.stringContaining(sentence) }),
    )
  })
})
