import { describe, expect, it } from 'vitest'
import { notTaken } from './fates.ts'

describe('the fate of a message that no broker took', () => {
  it.each(['ECONNREFUSED', 'ENOTFOUND', 'ETIMEDOUT', 'PLT_KFK_NETWORK', 'PLT_KFK_TIMEOUT'])(
    'says that the broker cannot be reached, and keeps %s as the reason',
    (name) => {
      expect(notTaken(name)).toEqual({
        outcome: 'rejected',
        scope: 'destination',
        retryable: true,
        code: 'WB_BROKER_UNREACHABLE',
        reason: `It was not sent: no broker took it (${name}).`,
      })
    },
  )

  it.each(['SASL_AUTHENTICATION_FAILED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'WB_TIMED_OUT'])(
    'keeps the code %s, which says more',
    (name) => {
      expect(notTaken(name)).toMatchObject({ scope: 'destination', retryable: true, code: name })
    },
  )
})
