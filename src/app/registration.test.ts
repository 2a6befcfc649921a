import { describe, expect, it } from 'vitest'
import { localTransport } from '../local.ts'
import { defineChannel } from '../outbox/channel.ts'
import { postgresStore } from '../postgres.ts'
import { resolveConfig } from './config.ts'
import { refuseRegistration, registrationOf } from './registration.ts'

const orders = defineChannel({ name: 'orders' })
const config = resolveConfig({
  store: postgresStore({ connectionString: 'postgres://nowhere/shop' }),
  transports: { local: localTransport() },
  channels: [orders],
})
const handler = (): void => {}

describe('a registration that cannot be', () => {
  it('of a channel that is not in the configuration names its consumer, and says what to do', () => {
    const stranger = defineChannel({ name: 'oders' })
    expect(() => registrationOf(config, stranger, { consumer: 'shipping' }, handler)).toThrow(
      'Consumer "shipping" takes channel "oders", which is not in the configuration. Did you mean "orders"? List it in `channels`.',
    )
  })

  it('of a second handler, or after the start, says what to do', () => {
    const registration = registrationOf(config, orders, { consumer: 'shipping' }, handler)
    expect(() => refuseRegistration(registration, [], false)).not.toThrow()
    expect(() => refuseRegistration(registration, [registration], false)).toThrow('of another name')
    expect(() => refuseRegistration(registration, [], true)).toThrow('call consume() before it')
  })
})
