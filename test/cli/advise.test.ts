import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { advise, brokers, repeats, type Answers, type Broker } from '../../src/cli/advice.ts'
import { compile } from '../../src/guarantees/compile.ts'
import type { SomeChannel } from '../../src/outbox/channel.ts'
import { channelFacts, consumerFacts, facts, type FakeTransportKind } from '../fakes/facts.ts'
import { runWaybill } from './waybill-command.ts'

const repository = fileURLToPath(new URL('../..', import.meta.url))
mkdirSync(join(repository, '.cache'), { recursive: true })
// Inside the repository, where its packages and types are found.
const folder = mkdtempSync(join(repository, '.cache', 'advise-'))
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function everyAnswer(): readonly Answers[] {
  const both = [true, false]
  return both.flatMap((mayBeLost) =>
    repeats.flatMap((mayRepeat) =>
      both.flatMap((inTransaction) =>
        both.flatMap((ordered) =>
          (['normal', 'low'] as const).flatMap((latency) =>
            brokers.map((broker) => ({
              name: 'orders.placed',
              mayBeLost,
              mayRepeat,
              inTransaction,
              ordered,
              latency,
              broker,
            })),
          ),
        ),
      ),
    ),
  )
}

function transportOf(broker: Broker, { ordered }: SomeChannel): FakeTransportKind {
  return broker === 'sqs' ? (ordered ? 'sqs-fifo' : 'sqs-standard') : broker
}

describe('waybill advise', () => {
  it('answers flags with a guarantee, why, what it costs and the definition to paste', async () => {
    const { code, stdout, stderr } = await runWaybill(['advise', '--broker', 'kafka', '--ordered'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const text of ['exactly-once', '\nWhy\n', '\nWhat it costs\n', '\nPaste\n', 'defineChannel<']) {
      expect(stdout).toContain(text)
    }
  })

  it('gives programs one object', async () => {
    const flags = [
      '--may-repeat',
      '--no-transaction',
      '--latency',
      'low',
      '--broker',
      'kafka',
      '--name',
      'mail',
    ]
    const { code, stdout } = await runWaybill(['advise', ...flags, '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      answers: { name: 'mail', mayBeLost: false, mayRepeat: 'yes', inTransaction: false, broker: 'kafka' },
      guarantee: 'at-least-once',
      definition: expect.stringContaining('outbox: false'),
    })
  })

  it('says which flags there are where it can ask nobody', async () => {
    const { code, stdout, stderr } = await runWaybill(['advise'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    for (const flag of [
      '--may-be-lost',
      '--may-repeat',
      '--no-transaction',
      '--ordered',
      '--latency',
      '--broker',
    ]) {
      expect(stderr).toContain(flag)
    }
    const asked = await runWaybill(['advise', '--json'])
    expect(JSON.parse(asked.stdout)).toMatchObject({ error: { code: 'WB_INVALID_OPTION' } })
  })

  it.each([
    [['--broker', 'pigeon'], 'local, kafka, rabbitmq, sqs, udp'],
    [['--may-repeat', '--idempotent'], 'cannot be used with'],
    [['--name', 'a b'], 'letters, digits'],
  ])('refuses %j', async (flags, message) => {
    const { code, stderr } = await runWaybill(['advise', ...flags])
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  it('gives definitions that compile: for TypeScript, and into a plan for the broker that was named', async () => {
    const broker = new Map(everyAnswer().map((answers) => [advise(answers).definition, answers.broker]))
    expect(broker.size).toBeGreaterThan(40)
    const files = [...broker].map(([definition, kind], i) => {
      const path = join(folder, `definition-${i}.ts`)
      writeFileSync(path, definition.replace("'waybill'", "'../../src/index.ts'"))
      return { path, kind, definition }
    })
    const tsconfig = { extends: '../../tsconfig.json', compilerOptions: { isolatedDeclarations: false } }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ ...tsconfig, include: ['*.ts'] }))
    const tsc = join(repository, 'node_modules', '.bin', 'tsc')
    await promisify(execFile)(tsc, ['-p', folder]).catch((error: { stdout: string }) => {
      expect.fail(error.stdout)
    })
    for (const { path, kind, definition } of files) {
      const [channel] = Object.values((await import(pathToFileURL(path).href)) as Record<string, SomeChannel>)
      const input = {
        ...facts({ transport: transportOf(kind, channel!) }),
        channel: channelFacts({ ...channel!, declaredConsumers: channel!.consumers, sharesAddressWith: [] }),
        consumers: [consumerFacts({ isIdempotent: true })],
      }
      expect(compile(input), definition).toMatchObject({ kind: 'plan', guarantee: channel!.guarantee })
    }
  })
})
