import { describe, expect, it } from 'vitest'
import { transportConformance } from '../../testing/conformance/transport.ts'
import { localTransport } from './transport.ts'

describe('localTransport', () => {
  it.each(transportConformance({ transport: localTransport(), newAddress: () => 'any' }))(
    '$name',
    ({ run }) => run(),
  )

  it('orders batches, and takes 1 MiB', () => {
    expect(localTransport().capabilities).toMatchObject({
      ordersBatch: true,
      isLocal: true,
      maxBytes: 1_048_576,
      fences: false,
      seeks: false,
    })
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
