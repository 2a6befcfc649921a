import assert from 'node:assert/strict'
import { casesIn, type ConformanceCase } from './case.ts'
import { dispatcherCases } from './dispatcher-cases.ts'
import { publisherCases } from './publisher-cases.ts'
import { subscriptionCases } from './subscription-cases.ts'
import { fencedCases, transformCases } from './transaction-cases.ts'
import { type TransportConformanceOptions, TransportScene } from './transport-scene.ts'

/**
 * What the contract of `ports/transport.ts` asks of a transport, by what it declares in its capabilities: what it declares is tried,
 * and what it does not declare must not be there. For any test runner:
 *
 * @example
 * describe('myTransport', () => {
 *   const cases = transportConformance({ transport: myTransport({ … }), newAddress: () => `queue-${randomUUID()}` })
 *   for (const { name, run } of cases) it(name, run)
 * })
 *
 * Faults of a network or a broker are not among them: each adapter knows its own.
 */
export function transportConformance(options: TransportConformanceOptions): readonly ConformanceCase[] {
  const { capabilities } = options.transport
  const common = casesIn(() => new TransportScene(options), {
    'it is what it says it is, and has exactly the parts that it declares': async (scene) => {
      const transport = scene.open()
      assert.equal(transport.kind, options.transport.kind)
      assert.deepEqual(transport.capabilities, capabilities)
      const { isLocal, confirms, dispatches, fences, transactionTimeoutMs } = capabilities
      const has = {
        publisher: transport.openPublisher !== undefined,
        dispatcher: transport.openDispatcher !== undefined,
        fencedPublisher: transport.openFencedPublisher !== undefined,
        subscription: transport.subscribe !== undefined,
      }
      assert.deepEqual(has, {
        publisher: confirms && !isLocal,
        dispatcher: dispatches && !isLocal,
        fencedPublisher: fences,
        subscription: !isLocal,
      })
      assert.equal(
        transactionTimeoutMs === null,
        !fences,
        'a time-out of fenced transactions, where there are any',
      )
      await transport.ping?.(scene.timeoutMs)
    },

    'it can be closed twice, and when nothing was opened': async (scene) => {
      const transport = scene.open()
      await transport.close()
      await transport.close()
    },
  })
  if (capabilities.isLocal) return common
  return [
    ...common,
    ...(capabilities.confirms ? publisherCases(options) : []),
    ...(capabilities.dispatches ? dispatcherCases(options) : []),
    ...subscriptionCases(options),
    ...(capabilities.fences ? fencedCases(options) : []),
    ...(capabilities.transforms ? transformCases(options) : []),
  ]
}
