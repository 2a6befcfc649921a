import { beforeAll, describe, it } from 'vitest'
import { storeConformance } from '../../../src/testing/conformance/store.ts'
import { postgresStore } from '../../../src/postgres.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { isWaiting } from './support.ts'

describe('the PostgreSQL store', () => {
  let connectionString = 'postgres://later'

  beforeAll(async () => {
    connectionString = (await postgresDatabase()).url
  })

  // Where it is is known when a case opens it, and not yet when the cases are listed.
  const store = {
    ...postgresStore({ connectionString }),
    open: (...given: Parameters<ReturnType<typeof postgresStore>['open']>) =>
      postgresStore({ connectionString }).open(...given),
  }
  it.each(storeConformance({ store, isWaiting: () => isWaiting(connectionString) }))('$name', ({ run }) =>
    run(),
  )
})
