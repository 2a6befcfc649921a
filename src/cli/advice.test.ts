import { describe, expect, it } from 'vitest'
import { advise, brokers, repeats, type Answers } from './advice.ts'

const asked: Answers = {
  name: 'orders.placed',
  mayBeLost: false,
  mayRepeat: 'no',
  inTransaction: true,
  ordered: false,
  latency: 'normal',
  broker: 'kafka',
}

describe('advise', () => {
  it.each([
    ['what may be lost', { mayBeLost: true }, 'at-most-once'],
    ['what may be lost, whatever else it bears', { mayBeLost: true, mayRepeat: 'yes' }, 'at-most-once'],
    ['what may repeat and not be lost', { mayRepeat: 'yes' }, 'at-least-once'],
    ['what an idempotent handler takes', { mayRepeat: 'idempotent' }, 'effectively-once'],
    ['what may be neither lost nor repeated', {}, 'exactly-once'],
    [
      'the same without a transaction, which has none to be exact with',
      { inTransaction: false },
      'at-least-once',
    ],
    ['the same in the database itself', { inTransaction: false, broker: 'local' }, 'exactly-once'],
    ['whatever goes over UDP', { broker: 'udp' }, 'at-most-once'],
  ] satisfies [string, Partial<Answers>, string][])('for %s', (_what, answers, guarantee) => {
    const advice = advise({ ...asked, ...answers })
    expect(advice.guarantee).toBe(guarantee)
    expect(advice.definition).toContain(`guarantee: '${guarantee}'`)
    expect(advice.why).toHaveLength(2)
  })

  it.each([
    [{ broker: 'udp' }, 'It will lose messages'],
    [{ inTransaction: false }, "form: 'inbox'"],
    [{ inTransaction: false, broker: 'local' }, 'waybill.transaction()'],
    [{ mayRepeat: 'idempotent' }, 'check-idempotency'],
    [{ latency: 'low' }, "consumers' names"],
    [{ latency: 'low', broker: 'local' }, 'consumerBatchSize'],
    [{ ordered: true, broker: 'udp' }, 'keeps no order'],
    [{ ordered: true, broker: 'sqs' }, 'FIFO'],
    [{ ordered: true, inTransaction: false }, 'Await each send()'],
    [{ mayBeLost: true, inTransaction: false }, 'use send()'],
    [{ broker: 'rabbitmq' }, 'no transport for rabbitmq yet'],
  ] satisfies [Partial<Answers>, string][])('says what %j asks for beside it', (answers, note) => {
    expect(advise({ ...asked, ...answers }).notes.join('\n')).toContain(note)
  })

  it('says nothing more where the answers and the guarantee meet', () => {
    expect(advise(asked).notes).toEqual([])
    expect(advise({ ...asked, broker: 'local', ordered: true }).notes).toEqual([])
  })

  it('writes the definition for the answers', () => {
    const definition = (answers: Partial<Answers>): string => advise({ ...asked, ...answers }).definition
    expect(definition({ ordered: true })).toContain('key: (message) => message.id')
    expect(definition({ name: 'delete' })).toContain('export const channeldelete =')
    expect(definition({ ordered: true, broker: 'udp' })).not.toContain('key:')
    expect(definition({ mayBeLost: true })).not.toContain('outbox')
    expect(definition({ mayBeLost: true, latency: 'low' })).toContain('outbox: false')
    expect(definition({ mayBeLost: true, latency: 'low', broker: 'local' })).not.toContain('outbox')
    expect(definition({})).toContain("ordersPlaced.via('kafka')")
    expect(definition({ name: '3-d' })).toContain('export const channel3D =')
    expect(definition({ name: '_' })).toContain('export const channel =')
  })

  it('has an answer to everything', () => {
    const both = [true, false]
    const seen = new Set<string>()
    for (const mayBeLost of both)
      for (const mayRepeat of repeats)
        for (const inTransaction of both)
          for (const broker of brokers)
            seen.add(advise({ ...asked, mayBeLost, mayRepeat, inTransaction, broker }).guarantee)
    expect(seen.size).toBe(4)
  })
})
