import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { type CommandResult, runWaybill, startWaybill } from './waybill-command.ts'

const source = fileURLToPath(new URL('../../src', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'waybill-operators-'))
const secret = 'canary-payload-77f1'
let client: pg.Client
let observer: pg.Client

beforeAll(async () => {
  const { url } = await postgresDatabase()
  writeFileSync(
    join(folder, 'waybill.config.ts'),
    `import { defineChannel, defineConfig } from '${source}/index.ts'
     import { localTransport } from '${source}/local.ts'
     import { postgresStore } from '${source}/postgres.ts'
     export default defineConfig({
       store: postgresStore({ connectionString: '${url}' }),
       transports: { local: localTransport() },
       channels: [defineChannel({ name: 'orders', ordered: true })],
     })`,
  )
  client = new pg.Client(url)
  observer = new pg.Client(url)
  await client.connect()
  await observer.connect()
  await run('migrate')
})

afterAll(async () => {
  await client.end()
  await observer.end()
  rmSync(folder, { recursive: true, force: true })
})

beforeEach(async () => {
  await client.query('delete from waybill.dead; delete from waybill.blocked; delete from waybill.outbox')
})

function run(...args: string[]): Promise<CommandResult> {
  return runWaybill(args, { cwd: folder })
}

/** The one line on stdout. */
async function json(...args: string[]): Promise<[number | null, Record<string, unknown>]> {
  const { code, stdout } = await run(...args, '--json')
  expect(stdout).toMatch(/^[^\n]+\n$/u)
  return [code, JSON.parse(stdout) as Record<string, unknown>]
}

async function count(table: string): Promise<number> {
  const { rows } = await client.query(`select count(*)::int as n from waybill.${table}`)
  return rows[0].n
}

/** Dead letters with these keys, one after another. */
async function die(
  keys: readonly string[],
  reason = 'rejected',
  payload = `{"note":"${secret}"}`,
): Promise<number[]> {
  const { rows } = await client.query(
    `insert into waybill.dead (id, channel, key, payload, content_type, headers, created_at, partition, seq, attempts, reason,
       error_code, error, died_at)
     select gen_random_uuid(), 'orders', k.key, $2::bytea, 'application/json', '{"h":"v"}', now(), 0,
       nextval('waybill.outbox_seq_seq'), 3, $3, 'E_NO', 'no such customer', clock_timestamp() - interval '1 hour'
     from unnest($1::text[]) with ordinality k(key, place) order by k.place returning number::int`,
    [keys, Buffer.from(payload), reason],
  )
  return rows.map(({ number }) => number as number)
}

async function hold(key: string, state: string): Promise<void> {
  await client.query(
    `insert into waybill.blocked (partition, seq, id, channel, key, state, attempts, retry_at, error_code, error, first_error_code,
       first_error)
     select partition, seq, id, channel, key, $2, 5, 'infinity', 'E_NO', 'no', 'E_NO', 'no'
     from (select partition, seq, id, channel, key from waybill.dead union all
       select partition, seq, id, channel, key from waybill.outbox) m
     where key = $1 order by seq limit 1`,
    [key, state],
  )
}

describe('waybill dead', () => {
  it('lists without payloads, with what to narrow it by, as a table or as JSON', async () => {
    const [first] = await die(['ann', 'bob'])
    await die(['cid'], 'unreadable')
    const table = await run('dead', 'list', '--reason', 'rejected')
    expect(table).toMatchObject({ code: 0, stderr: '' })
    expect(table.stdout).toContain('E_NO: no such customer')
    expect(table.stdout).not.toContain(secret)
    expect(table.stdout.trimEnd().split('\n')).toHaveLength(3)
    const [, { deadLetters, after }] = await json('dead', 'list', '--newer-than', '2h', '--limit', '1')
    expect(deadLetters).toMatchObject([{ number: first, key: 'ann', reason: 'rejected' }])
    expect(after).toBe(first)
    expect(JSON.stringify(deadLetters)).not.toContain(secret)
    expect((await run('dead', 'list', '--payload', '--key', 'bob')).stdout).toContain(secret)
    expect((await run('dead', 'list', '--newer-than', '10min')).stdout).toBe('No dead letters fit.\n')
  })

  it('shows one in full, and nothing of it as a command to the terminal', async () => {
    const [number] = await die(['a\u001B[2Jb\r'], 'rejected', '{"note":"\u009B31m\u202E"}')
    const { code, stdout } = await run('dead', 'show', String(number))
    expect(code).toBe(0)
    expect(stdout).toContain('a\\x1b[2Jb\\r')
    expect(stdout).toContain('"note": "\\x9b31m\\u{202e}"')
    expect(stdout).toContain(`waybill dead replay --id ${number}`)
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202E]/u)
    const [, { deadLetters }] = await json('dead', 'show', String(number))
    expect(deadLetters).toMatchObject([
      { number, payload: '{"note":"\u009B31m\u202E"}', headers: { h: 'v' } },
    ])
    expect(await run('dead', 'show', '999999')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('no dead letter'),
    })
    expect(await run('dead', 'show', 'ann')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('dead list'),
    })
  })

  it('replays only what was confirmed, and tells who did what', async () => {
    const [number] = await die(['ann', 'bob'])
    const dry = await run('dead', 'replay', '--channel', 'orders', '--dry-run')
    expect(dry).toMatchObject({ code: 0, stdout: 'It would replay 2. Nothing was changed.\n' })
    expect(dry.stderr).toContain('ann')
    const asked = await run('dead', 'replay', '--channel', 'orders')
    expect(asked).toMatchObject({ code: 2, stderr: expect.stringContaining('Give --count 2 or --yes') })
    const wrong = await run('dead', 'replay', '--channel', 'orders', '--count', '3')
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('It is 2 dead letters, not 3') })
    const all = await run('dead', 'replay')
    expect(all).toMatchObject({ code: 2, stderr: expect.stringContaining('or give --all') })
    expect(await count('dead')).toBe(2)

    const done = await run('dead', 'replay', '--id', String(number), '--yes')
    expect(done).toMatchObject({ code: 0, stdout: 'Replayed: 1 back in the outbox.\n' })
    const [line] = done.stderr.split('\n').filter((each) => each.startsWith('{'))
    expect(JSON.parse(line!)).toMatchObject({ action: 'dead.replay', returned: 1, user: expect.any(String) })
    expect(line).not.toContain(secret)
    expect(await json('dead', 'replay', '--all', '--count', '1')).toMatchObject([
      0,
      { changed: true, returned: 1 },
    ])
    expect(await json('dead', 'replay', '--all', '--yes')).toMatchObject([0, { changed: false }])
    expect(await count('outbox')).toBe(2)
  })

  it('brings a parked key back whole, and purges it only by its name', async () => {
    const [head] = await die(['ann', 'ann', 'bob'])
    await hold('ann', 'parked')
    const purge = await run('dead', 'purge', '--id', String(head), '--yes')
    expect(purge.code).toBe(1)
    expect(purge.stdout).toContain('Purged: 0.\nLeft: 1 of a parked key.')
    const replay = await run('dead', 'replay', '--id', String(head), '--yes')
    expect(replay.stderr).toContain('Key "ann" of orders is parked, with 2 messages in all.')
    expect(replay.stdout).toBe('Replayed: 2 back in the outbox, 1 whole key.\n')
    expect(await count('blocked')).toBe(0)
    await die(['cid', 'cid'])
    await hold('cid', 'parked')
    const whole = await run('dead', 'purge', '--channel', 'orders', '--key', 'cid', '--count', '2')
    expect(whole.stdout).toBe('Purged: 2, with 1 parked key.\n')
    expect(await json('dead', 'purge', '--older-than', '30min', '--yes')).toMatchObject([0, { purged: 1 }])
  })
})

/** A command waits for a row that the test has locked. */
async function untilItWaits(): Promise<void> {
  await until('a command that waits', async () => {
    const { rows } = await observer.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows.length > 0
  })
}

it('stops between two steps at SIGTERM, and tells what it has done', async () => {
  await die(['ann', 'ann', 'bob', 'bob'])
  await hold('ann', 'parked')
  await hold('bob', 'parked')
  await client.query('begin')
  await client.query(`select from waybill.blocked where key = 'ann' for update`)
  const replay = startWaybill(['dead', 'replay', '--all', '--yes'], { cwd: folder })
  await untilItWaits()
  replay.process.kill('SIGTERM')
  await replay.sees('what is under way ends first')
  await client.query('commit')
  expect(await replay.ended).toMatchObject({
    code: 143,
    stdout: 'Replayed: 2 back in the outbox, 1 whole key.\n',
  })
  expect([await count('dead'), await count('outbox')]).toEqual([2, 2])
})

it('ends with the code of the signal, also where not all could be done', async () => {
  await client.query(`select waybill.publish('orders', '{}', 'ann'), waybill.publish('orders', '{}', 'bob')`)
  await hold('ann', 'blocked')
  await hold('bob', 'parked')
  await client.query('begin')
  await client.query(`select from waybill.blocked for update`)
  const unblock = startWaybill(['keys', 'unblock', '--all', '--yes'], { cwd: folder })
  await untilItWaits()
  unblock.process.kill('SIGINT')
  await unblock.sees('what is under way ends first')
  await client.query('commit')
  expect(await unblock.ended).toMatchObject({
    code: 130,
    stdout: expect.stringContaining('1 parked and left'),
  })
})

describe('waybill keys', () => {
  it('lists, unblocks and skips what is held', async () => {
    await client.query(
      `select waybill.publish('orders', '{}', 'ann'), waybill.publish('orders', '{}', 'bob')`,
    )
    await hold('ann', 'blocked')
    await hold('bob', 'blocked')
    const list = await run('keys', 'list')
    expect(list.stdout).toMatch(/blocked .* ann .* waits for you/u)
    expect(list.stdout).toContain('waybill keys unblock')
    expect(await json('keys', 'list', '--key', 'bob')).toMatchObject([
      0,
      { keys: [{ key: 'bob', state: 'blocked' }] },
    ])
    expect(await run('keys', 'unblock', '--state', 'blocked', '--dry-run')).toMatchObject({
      stdout: 'It would unblock 2. Nothing was changed.\n',
    })
    expect(await run('keys', 'unblock', '--channel', 'orders', '--key', 'ann', '--yes')).toMatchObject({
      code: 0,
      stdout: 'Unblocked: 1.\n',
      stderr: expect.stringContaining('"action":"keys.unblock"'),
    })
    expect(await json('keys', 'skip', '--key', 'bob', '--count', '1')).toMatchObject([
      0,
      { skipped: 1, gone: 0 },
    ])
    expect((await run('keys', 'list', '--key', 'bob')).stdout).toBe('No key is held.\n')
    expect(await json('dead', 'list', '--reason', 'skipped')).toMatchObject([
      0,
      { deadLetters: [{ key: 'bob' }] },
    ])
  })

  it('lists page by page, and names the next one', async () => {
    await client.query(`select waybill.publish('orders', '{}', k) from unnest('{ann,bob,cid}'::text[]) k`)
    for (const key of ['ann', 'bob', 'cid']) await hold(key, 'blocked')
    const keys: unknown[] = []
    for (let after: unknown = null, pages = 0; pages === 0 || after !== null; pages++) {
      const [, page] = await json(
        'keys',
        'list',
        '--limit',
        '2',
        ...(after === null ? [] : ['--after', String(after)]),
      )
      keys.push((page['keys'] as { key: string }[]).map(({ key }) => key))
      after = page['after']
    }
    expect(keys.map((page) => (page as string[]).length)).toEqual([2, 1])
    expect(keys.flat().toSorted()).toEqual(['ann', 'bob', 'cid'])
    expect(await run('keys', 'list', '--limit', '2')).toMatchObject({
      stderr: expect.stringMatching(/There may be more: --after :\d+:\d+\n/u),
    })
  })

  it('changes those that it has counted and shown, whatever is held since', async () => {
    const { rows } = await client.query(`select waybill.publish('orders', '{}', 'ann') as id`)
    await hold('ann', 'blocked')
    const { stderr } = await run('keys', 'skip', '--state', 'blocked', '--count', '1')
    const line = stderr.split('\n').find((each) => each.includes('"action":"keys.skip"'))
    expect(JSON.parse(line!)).toMatchObject({ filter: { state: 'blocked', ids: [rows[0].id] }, skipped: 1 })
  })

  it('skips the head of a parked key, and leaves parked keys blocked', async () => {
    await die(['ann', 'ann', 'ann'])
    await hold('ann', 'parked')
    expect(await run('keys', 'unblock', '--all', '--yes')).toMatchObject({
      code: 1,
      stdout: 'Unblocked: 0.\n1 parked and left: `waybill dead replay` brings them back.\n',
    })
    expect(await run('keys', 'skip', '--all', '--yes')).toMatchObject({
      code: 0,
      stdout: 'Skipped: 1.\n2 came back from behind them.\n',
    })
    expect([await count('outbox'), await count('dead'), await count('blocked')]).toEqual([2, 1, 0])
  })

  it('says of an unblock what it will do: parked keys are not counted, told, nor asked about', async () => {
    await die(['ann', 'bob'])
    await client.query(`select waybill.publish('orders', '{}', k) from unnest('{cid,dan,eve}'::text[]) k`)
    for (const key of ['ann', 'bob']) await hold(key, 'parked')
    for (const key of ['cid', 'dan', 'eve']) await hold(key, 'blocked')
    const left = '2 parked and left: `waybill dead replay` brings them back.\n'
    const dry = await run('keys', 'unblock', '--all', '--dry-run')
    expect(dry).toMatchObject({ code: 0, stdout: `It would unblock 3. Nothing was changed.\n${left}` })
    expect(dry.stderr).not.toContain('bob')
    expect(await json('keys', 'unblock', '--all', '--dry-run')).toMatchObject([0, { found: 3, parked: 2 }])
    expect(await run('keys', 'unblock', '--all')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('It concerns 3 keys'),
    })
    expect(await run('keys', 'unblock', '--all', '--count', '5')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('It is 3 keys, not 5'),
    })
    expect(await json('keys', 'unblock', '--all', '--limit', '2', '--dry-run')).toMatchObject([
      0,
      { found: 2 },
    ])
    expect(await run('keys', 'unblock', '--all', '--count', '3')).toMatchObject({
      code: 1,
      stdout: `Unblocked: 3.\n${left}`,
    })
  })

  it('says why messages behind the head of a parked key stay there', async () => {
    await die(['ann', 'ann', 'ann'])
    await hold('ann', 'parked')
    await client.query(`update waybill.dead set channel = 'old'; update waybill.blocked set channel = 'old'`)
    expect(await run('keys', 'skip', '--all', '--yes')).toMatchObject({
      code: 1,
      stdout:
        'Skipped: 0.\n' +
        'Left: 2 of a channel that is not registered. Run `waybill migrate` with a configuration that lists it.\n',
    })
    expect(await json('keys', 'skip', '--all', '--yes')).toMatchObject([
      1,
      { left: [{ why: 'no-channel', count: 2 }] },
    ])
  })
})

describe('waybill unsubscribe', () => {
  it('tells what it would end, ends it once that is confirmed, and says who did', async () => {
    await client.query(
      `insert into waybill.subscriptions (consumer, channel) values ('old', 'orders'), ('new', 'orders')`,
    )
    const [row] = (
      await client.query(`select waybill.publish('orders', '{"note":"${secret}"}', 'ann') as id`)
    ).rows
    await client.query(`insert into waybill.inbox (consumer, message_id) values ('new', $1)`, [row.id])
    const dry = await run('unsubscribe', 'old', '--dry-run')
    expect(dry).toMatchObject({ code: 0, stdout: 'It would end 1 of consumer "old". Nothing was changed.\n' })
    expect(dry.stderr).toMatch(/orders +1 +wait only for it and are deleted/u)
    expect(await run('unsubscribe', 'old')).toMatchObject({ code: 2, stdout: '' })
    expect(await count('outbox')).toBe(1)
    const { code, stdout, stderr } = await run('unsubscribe', 'old', '--count', '1')
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'Ended: 1 of consumer "old". Messages that waited only for it: 1.\n',
    })
    expect(stderr).toContain('"action":"subscriptions.end"')
    expect(stderr).not.toContain(secret)
    expect(await count('outbox')).toBe(0)
    expect(await json('unsubscribe', 'new', '--yes')).toMatchObject([
      0,
      { changed: true, ended: [{ channel: 'orders', released: 0, isLast: true }] },
    ])
    expect((await run('unsubscribe', 'new')).stdout).toContain('has no subscription: nothing to do')
  })
})

it.each([
  [['dead', 'list', '--limit', '0'], 'a whole number from 1 to 1000'],
  [['dead', 'list', '--older-than', 'soon'], 'a time such as 7d'],
  [['dead', 'purge', '--older-than', '30', '--yes'], 'a time such as 7d'],
  [['keys', 'list', '--newer-than', '30'], 'a time such as 7d'],
  [['dead', 'list', '--older-than', '99999999d'], '100 years at most'],
  [['dead', 'list', '--reason', 'bored'], 'attempts-exhausted'],
  [['dead', 'list', '--id', 'ann'], 'a number from'],
  [['dead', 'replay', '--id', '1', '01990a5c-6b1e-7c44-9d0e-2f1a8f3f7b10'], 'not both at once'],
  [['keys', 'skip', '--id', '5'], 'It takes a UUID'],
  [['keys', 'list', '--after', '5'], 'what `waybill keys list` says'],
  [['keys', 'list', '--state', 'held'], 'retrying, blocked, parked'],
])('refuses %j as a usage error, and says what to do', async (args, message) => {
  const { code, stdout, stderr } = await run(...args)
  expect(stderr).toContain(message)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})

it.each([
  'dead',
  'dead list',
  'dead show',
  'dead replay',
  'dead purge',
  'keys',
  'keys list',
  'keys unblock',
  'keys skip',
  'unsubscribe',
])('waybill %s has a help with examples', async (name) => {
  const { code, stdout } = await run(...name.split(' '), '--help')
  expect(code).toBe(0)
  expect(stdout).toContain(`$ waybill ${name}`)
  expect(stdout.includes('--statement-timeout-ms')).toBe(name !== 'dead' && name !== 'keys')
})

it('takes the settings as flags', async () => {
  await die(['ann', 'bob'])
  const loud = await run('dead', 'purge', '--key', 'ann', '--yes')
  expect(loud).toMatchObject({ code: 0, stderr: expect.stringContaining('"action":"dead.purge"') })
  const quiet = await run('dead', 'purge', '--key', 'bob', '--yes', '--log-level', 'silent')
  expect(quiet).toMatchObject({ code: 0, stderr: expect.not.stringContaining('"action"') })
  for (const args of [
    ['dead', 'list'],
    ['dead', 'show', '1'],
    ['keys', 'list'],
    ['replay', '--all', '--dry-run'],
    ['unsubscribe', 'gone'],
  ]) {
    const { code, stderr } = await run(...args, '--statement-timeout-ms', '1ms')
    expect({ args, code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('from --statement-timeout-ms'),
    })
  }
})
