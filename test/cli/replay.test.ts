import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { type CommandResult, runWaybill, startWaybill } from './waybill-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'waybill-replay-'))
const source = fileURLToPath(new URL('../../src', import.meta.url))
const config = join(folder, 'waybill.config.ts')
let client: Client
let observer: Client

beforeAll(async () => {
  const { url } = await postgresDatabase()
  writeFileSync(
    config,
    `import { defineChannel, defineConfig } from '${source}/index.ts'
     import { localTransport } from '${source}/local.ts'
     import { postgresStore } from '${source}/postgres.ts'
     export default defineConfig({
       store: postgresStore({ connectionString: '${url}' }),
       transports: { local: localTransport() },
       channels: [defineChannel({ name: 'orders.placed', key: (order: { id: string }) => order.id })],
       retainMs: 604800000,
     })`,
  )
  client = new Client(url)
  observer = new Client(url)
  await client.connect()
  await observer.connect()
  await runWaybill(['migrate', '--config', config])
})

beforeEach(async () => {
  await client.query('truncate waybill.sent, waybill.outbox, waybill.inbox, waybill.relays')
})

afterAll(async () => {
  await client.end()
  await observer.end()
  rmSync(folder, { recursive: true, force: true })
})

const waybill = (...args: string[]): ReturnType<typeof runWaybill> =>
  runWaybill([...args, '--config', config])

async function count(table: string): Promise<number> {
  return (await client.query(`select count(*)::int as n from waybill.${table}`)).rows[0].n
}

/** Messages that were sent so many hours ago. */
async function sent(hours: number, keys: readonly string[]): Promise<void> {
  await client.query(
    `insert into waybill.sent (sent_at, partition, seq, id, channel, key, payload, content_type, headers, created_at)
     select now() - $1 * interval '1 hour', 0, $1 * 1000 + n, gen_random_uuid(), 'orders.placed', k, 'secret', 'text/plain', '{}', now()
     from unnest($2::text[]) with ordinality u(k, n)`,
    [hours, keys],
  )
}

describe('waybill replay', () => {
  it('tells what it would do, and does it when the count is given', async () => {
    await sent(1, ['ann', 'bob', 'ann'])
    await sent(30, ['ann'])
    const chosen = ['replay', '--channel', 'orders.placed', '--since', '2h']
    const dry = await waybill(...chosen, '--dry-run')
    expect(dry).toMatchObject({ code: 0, stdout: 'It would send 3 messages again. Nothing was changed.\n' })
    expect(await count('outbox')).toBe(0)

    const unasked = await waybill(...chosen)
    expect(unasked.code).toBe(2)
    expect(unasked.stderr).toContain('--count 3')
    const wrong = await waybill(...chosen, '--count', '4')
    expect(wrong.code).toBe(1)
    expect(await count('outbox')).toBe(0)

    const { code, stdout } = await waybill(...chosen, '--count', '3', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({ found: 3, changed: true, replayed: 3, known: 0, unroutable: 0 })
    expect([await count('outbox'), await count('sent')]).toEqual([3, 1])
    const again = await waybill(...chosen, '--yes')
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('No message that is kept fits') })
  })

  it('sends copies with --as-new, and takes a time with its zone', async () => {
    await sent(1, ['ann'])
    const at = new Date(Date.now() - 7_200_000).toISOString()
    const { code, stdout } = await waybill('replay', '--key', 'ann', '--since', at, '--as-new', '--yes')
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Replayed: 1 message.\n' })
    const { rows } = await client.query(
      `select o.headers->>'waybill-replay-of' = s.id::text as is_named, o.id <> s.id as is_new
       from waybill.outbox o, waybill.sent s`,
    )
    expect(rows).toEqual([{ is_named: true, is_new: true }])
  })

  it.each([
    [[], 'Nothing is named'],
    [['--since', 'yesterday'], 'a time with its zone'],
    [['--since', '2026-02-30T00:00Z'], 'There is no 2026-02-30'],
    [['--until', '2025-02-29T23:30:00+02:00'], 'There is no 2025-02-29'],
    [['--since', '2026-11-27T08:00'], 'a time with its zone'],
    [['--until', '5'], 'a time with its zone'],
    [['--since', '2h ago'], 'a time with its zone'],
  ])('refuses %j as a usage error', async (args, message) => {
    const { code, stdout, stderr } = await waybill('replay', ...args)
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(message),
    })
  })
})

describe('a step that Ctrl-C or SIGTERM ends', () => {
  /** Runs a command until it waits for what is locked here, and tells it to stop then. */
  async function stopped(
    name: 'SIGINT' | 'SIGTERM',
    locked: string,
    ...args: string[]
  ): Promise<CommandResult> {
    await client.query('begin')
    try {
      await client.query(locked)
      const command = startWaybill([...args, '--config', config])
      await until('it waits for the lock', async () => {
        const { rows } = await observer.query(
          `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        )
        return rows.length > 0
      })
      command.process.kill(name)
      await command.sees('what is under way ends first')
      await client.query('commit')
      return await command.ended
    } finally {
      await client.query('rollback')
    }
  }

  it('ends waybill replay with the code of the signal, and tells what was done', async () => {
    await sent(1, ['ann'])
    const lock = 'lock table waybill.outbox in share mode'
    expect(await stopped('SIGINT', lock, 'replay', '--all', '--yes')).toMatchObject({
      code: 130,
      stdout: 'Replayed: 1 message.\n',
    })
  })

  it('ends waybill cleanup likewise', async () => {
    const lock = 'lock table waybill.inbox in share mode'
    expect(await stopped('SIGTERM', lock, 'cleanup')).toMatchObject({
      code: 143,
      stdout: expect.stringContaining('Deleted: 0 of the inbox'),
    })
  })
})

describe('waybill cleanup', () => {
  const old = `now() - interval '20 days'`

  beforeEach(async () => {
    await client.query(
      `insert into waybill.inbox (consumer, message_id, processed_at)
       select 'c', gen_random_uuid(), ${old} from generate_series(1, 3)`,
    )
    await client.query(`insert into waybill.inbox (consumer, message_id) values ('c', gen_random_uuid())`)
    await client.query(
      `insert into waybill.relays (id, transport, lock_key, host, pid, application, lease_until)
       values (gen_random_uuid(), 'local', 1, 'h', 1, 'a', ${old}), (gen_random_uuid(), 'local', null, 'h', 1, 'a', ${old}),
         (gen_random_uuid(), 'local', null, 'h', 1, 'a', now())`,
    )
    await sent(24 * 20, ['a', 'b'])
    await sent(1, ['a'])
  })

  it('tells first what would go, and changes nothing in a dry run', async () => {
    const { code, stdout } = await waybill('cleanup', '--dry-run', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      found: { inbox: 3, attempts: 0, relays: 2, sent: 2, sentDays: [] },
      changed: false,
    })
    const text = await waybill('cleanup', '--dry-run')
    expect(text.stdout).toMatch(/inbox +3/u)
    expect(text.stdout).toContain('Nothing was changed.')
    expect([await count('inbox'), await count('relays'), await count('sent')]).toEqual([4, 3, 3])
  })

  it('deletes that, and nothing inside its window', async () => {
    const { code, stdout } = await waybill('cleanup', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      changed: true,
      cleaned: { inbox: 3, relays: 2, sentDays: 0, sent: 2 },
    })
    expect([await count('inbox'), await count('relays'), await count('sent')]).toEqual([1, 1, 1])
  })

  it('leaves an inbox row whose message waits, as the dry run says, and kept messages where retainMs is 0', async () => {
    await client.query(
      `insert into waybill.outbox (partition, id, channel, key, payload, created_at)
       select 0, message_id, 'orders.placed', 'k', 'x', ${old} from waybill.inbox where processed_at < now() - interval '1 day' limit 1`,
    )
    const dry = JSON.parse((await waybill('cleanup', '--dry-run', '--json', '--retain-ms', '0')).stdout)
    expect(dry.found).toMatchObject({ inbox: 2, sent: 0 })
    const { cleaned } = JSON.parse((await waybill('cleanup', '--json', '--retain-ms', '0')).stdout)
    expect(cleaned).toMatchObject({ inbox: 2, sent: 0, sentDays: 0 })
    expect([await count('inbox'), await count('sent'), await count('outbox')]).toEqual([2, 3, 1])
  })
})
