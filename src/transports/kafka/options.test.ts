import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { isWaybillError } from '../../kernel/errors.ts'
import { resolveOptions } from './options.ts'
import { kafkaTransport } from './transport.ts'

const brokers = ['kafka.example:9092']

describe('kafkaTransport', () => {
  it('declares what it can', () => {
    const { kind, capabilities } = kafkaTransport({ brokers })
    expect({ kind, capabilities }).toMatchObject({
      kind: 'kafka',
      capabilities: { ordersBatch: true, isLocal: false, maxBytes: 1_000_000, fences: true, seeks: true },
    })
  })

  it.each([
    [{ brokers, partitionPerTopic: 1 }, 'Did you mean "partitionsPerTopic"?'],
    [{ brokers, sasl: { mechanism: 'PLAIN', pasword: 's3cret' } }, 'Did you mean "password"?'],
    [{ brokers, sasl: { mechanism: 's3cret' } }, 'must be one of PLAIN'],
    [{ brokers, sasl: { mechanism: 'PLAIN', password: 17 } }, '`sasl.password` must be a text'],
    [{ brokers, sasl: 's3cret' }, '`sasl` must be an object'],
    [{ brokers, tls: true }, '`tls` must be an object'],
    [{ brokers, clientId: 'a b' }, '`clientId`'],
    [{ brokers, createTopics: 'yes' }, '`createTopics`'],
    [{ brokers, maxBytes: 1.5 }, '`maxBytes`'],
    [{ brokers, sessionTimeoutMs: 0 }, '`sessionTimeoutMs`'],
    [{ brokers: ['kafka://user:s3cret@host:9092'] }, '`brokers` must be a list'],
    [{ brokers: [] }, '`brokers` must be a list'],
    [{}, '`brokers` must be a list'],
    [null, 'takes an object'],
  ])('refuses %j with a word that helps and quotes no secret', (options, sentence) => {
    let thrown: unknown
    try {
      kafkaTransport(options as never)
    } catch (error) {
      thrown = error
    }
    expect(isWaybillError(thrown) && thrown.code).toBe('WB_INVALID_OPTION')
    expect(String(thrown)).toContain(sentence)
    expect(inspect(thrown)).not.toContain('s3cret')
  })

  it('takes IPv6 hosts and hosts without a port', () => {
    expect(resolveOptions({ brokers: ['[::1]:9092', 'kafka.example'] }).brokers).toHaveLength(2)
  })

  it('shows no credentials when it is printed', () => {
    const definition = kafkaTransport({
      brokers,
      tls: { key: 's3cret' },
      sasl: { mechanism: 'PLAIN', username: 'u', password: 's3cret' },
    })
    expect(inspect(definition, { depth: 10, showHidden: true })).not.toContain('s3cret')
  })
})
