import { Pool } from 'pg'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { listeningPlace, movedOptions } from './moved.ts'

const way = { host: '127.0.0.1', port: 7 }

describe('listeningPlace', () => {
  it.each([
    ['postgres://me:secret@db.example:6000/shop', { host: 'db.example', port: 6000 }],
    ['postgresql://db.example/shop?sslmode=disable', { host: 'db.example', port: 5432 }],
    ['postgres://me@[::1]:6000/shop', { host: '::1', port: 6000 }],
    // What the server shows would not be the proxy's.
    ['postgres://db.example/shop?sslmode=verify-full', null],
    ['postgres://db.example/shop?ssl=true', null],
    ['postgres://db.example/shop?sslrootcert=ca.crt', null],
    ['postgres://%2Fvar%2Frun/shop', null],
    ['postgres:///shop?host=/var/run', null],
    ['/var/run shop', null],
  ])('is of %s', (connectionString, place) => {
    expect(listeningPlace({ connectionString })).toEqual(place)
  })

  it.each([
    [
      { host: 'db.example', port: 6000 },
      { host: 'db.example', port: 6000 },
    ],
    [{ host: 'db.example', ssl: { rejectUnauthorized: true } }, null],
    [{ host: '/var/run' }, null],
    [{ connectionString: 'postgres://db.example/shop' }, { host: 'db.example', port: 5432 }],
    [{ connectionString: 'postgres://db.example/shop', ssl: { rejectUnauthorized: true } }, null],
    // To the driver the URL counts first.
    [
      { connectionString: 'postgres://db.example/shop?sslmode=disable', ssl: true },
      { host: 'db.example', port: 5432 },
    ],
  ])('is that of a pool with %j', (options, place) => {
    expect(listeningPlace({ pool: new Pool(options) })).toEqual(place)
  })

  it('is none where the environment has certificates looked at, and nothing else is said', () => {
    vi.stubEnv('PGSSLMODE', 'verify-full')
    onTestFinished(() => void vi.unstubAllEnvs())
    expect(listeningPlace({ connectionString: 'postgres://db.example/shop' })).toBe(null)
    expect(listeningPlace({ pool: new Pool({ host: 'db.example' }) })).toBe(null)
    const plain = new Pool({ host: 'db.example', port: 6000, ssl: false })
    expect(listeningPlace({ pool: plain })).toEqual({ host: 'db.example', port: 6000 })
  })
})

describe('movedOptions', () => {
  it('goes another way with all that a URL says else', () => {
    const { driver, direct, pooler } = movedOptions(
      {
        connectionString: 'postgres://me:secret@db.example:6000/shop?sslmode=disable',
        directConnectionString: 'postgres://me@direct/shop',
        pooler: 'none',
      },
      { schema: 'other', way },
    )
    expect(driver).toEqual({ connectionString: 'postgres://me:secret@127.0.0.1:7/shop?sslmode=disable' })
    expect([direct, pooler]).toEqual([{ connectionString: 'postgres://me@direct/shop' }, 'none'])
  })

  it('takes what a pool was made with, its hidden password too, and not the pool', () => {
    const pool = new Pool({ host: 'db.example', user: 'me', password: 'secret', max: 3 })
    const { driver } = movedOptions({ pool }, { schema: 'other', way })
    expect(driver).toMatchObject({ ...way, user: 'me', password: 'secret', max: 3 })
  })

  it('lets no URL name its sessions, by which they are found', () => {
    const url = 'postgres://me@db.example/shop?application_name=shop&sslmode=disable'
    const options = { connectionString: url, directConnectionString: url }
    const { driver, direct } = movedOptions(options, { schema: 'other' })
    const unnamed = { connectionString: 'postgres://me@db.example/shop?sslmode=disable' }
    expect([driver, direct]).toEqual([unnamed, unnamed])
    const named = movedOptions({ connectionString: url }, { schema: 'other', way })
    expect(named.driver).toEqual({ connectionString: 'postgres://me@127.0.0.1:7/shop?sslmode=disable' })
  })

  it('stays on its own way where no other is given', () => {
    const connectionString = 'postgres://me@db.example/shop'
    expect(movedOptions({ connectionString }, { schema: 'other' }).driver).toEqual({ connectionString })
  })
})
