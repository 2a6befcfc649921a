import { MultipleErrors, NetworkError, ProtocolError, UserError } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { hasKafkaError, isRetryable, isUnknownTopic, kafkaErrorName, responseIn } from './kafka-error.ts'

const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
const network = new NetworkError('Connection to host:1 failed.', { cause: refused })
const nested = new MultipleErrors('failed 3 times', [
  network,
  new MultipleErrors('inner', [new ProtocolError('ILLEGAL_GENERATION')]),
])

describe('an error of the Kafka client', () => {
  it.each([
    ['the broker’s name for it, however deep', nested, 'ILLEGAL_GENERATION'],
    ['the system’s', network, 'ECONNREFUSED'],
    ['the library’s', new UserError('x'), 'PLT_KFK_USER'],
    ['its class', new TypeError('secret'), 'TypeError'],
    ['nothing else', 'secret', 'Error'],
  ])('is named by %s', (_, error, name) => {
    expect(kafkaErrorName(error)).toBe(name)
  })

  it('is searched to its end', () => {
    expect(hasKafkaError(nested, 'UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION')).toBe(true)
    expect(hasKafkaError(network, 'ILLEGAL_GENERATION')).toBe(false)
    expect(isRetryable(network)).toBe(true)
    expect(isRetryable(nested)).toBe(false)
    expect(isUnknownTopic(new UserError('Unknown topic t.'))).toBe(true)
    expect(isUnknownTopic(new ProtocolError('UNKNOWN_TOPIC_OR_PARTITION'))).toBe(true)
    expect(isUnknownTopic(nested)).toBe(false)
    const response = { responses: [] }
    expect(responseIn(new MultipleErrors('x', [Object.assign(new Error('y'), { response })]))).toBe(response)
    expect(responseIn(nested)).toBeUndefined()
  })

  it('that holds itself is searched once', () => {
    const loop: { cause?: unknown } = {}
    loop.cause = loop
    expect(kafkaErrorName(loop)).toBe('Error')
  })
})
