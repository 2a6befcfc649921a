import { pathToFileURL } from 'node:url'
import { resolveConfig } from '../app/config.ts'
import type { Waybill } from '../app/waybill.ts'
import { loadConfig } from '../cli/config-file.ts'
import { callHandler, type Call } from '../consumer/call-handler.ts'
import { withDeadline } from '../kernel/deadline.ts'
import { describeError } from '../kernel/errors.ts'
import { encodePayload } from '../outbox/payload.ts'
import { bindTransactions } from '../transactions/registry.ts'
import type { SqlClient } from './idempotency-catalog.ts'
import { armText, mayCommitSetting, quoteName } from './idempotency-guard.ts'
import type { ChildNote, ChildTask, Setup } from './idempotency-protocol.ts'
import { createRecorder } from './idempotency-recorder.ts'

/** A stand-in for a process of the service: runs one handler with one message, as often as its parent asks. */

/** More than the parent waits for anything: while it holds a transaction before its commit that stands idle. */
const idleReserveMs = 120_000

const goes = new Map<number, () => void>()

process.once('disconnect', () => process.exit(1))
process.once('message', (setup) => {
  void begin(setup as Setup)
})
tell({ type: 'up' })

async function begin(setup: Setup): Promise<void> {
  const attempt = await prepare(setup)
  process.on('message', (task: ChildTask) => {
    if (task.type === 'go') goes.get(task.number)?.()
    else void run(attempt, task.number)
  })
  tell({ type: 'ready' })
}

async function run(attempt: (number: number) => Promise<void>, number: number): Promise<void> {
  try {
    await attempt(number)
    tell({ type: 'ended', number, error: null })
  } catch (error) {
    const detail = (error as { detail?: unknown } | null)?.detail
    tell({
      type: 'ended',
      number,
      error: { ...describeError(error), detail: typeof detail === 'string' ? detail : '' },
    })
  }
}

async function prepare(setup: Setup): Promise<(number: number) => Promise<void>> {
  const { flags, schema, consumer, message: given } = setup
  const config = resolveConfig(await loadConfig(setup.config), { flags, env: process.env })
  const { settings, logger } = config
  const store = config.store!.open({ logger, ...settings })
  const transactions = bindTransactions(store.transactions)
  const recorder = createRecorder(config, schema)
  const module = (await import(pathToFileURL(setup.handlers).href)) as {
    readonly default: (waybill: Waybill) => unknown
  }
  await module.default(recorder.waybill)
  const recorded = recorder.handlers.find(
    (each) => each.consumer === consumer && each.channel.name === given.channel,
  )!
  const { payload, contentType } = encodePayload(given.payload, undefined, 'the message')
  const envelope = { ...given, payload, contentType, createdAt: new Date(given.createdAt) }
  const entry = recorded.entry()
  const { timeoutMs } = recorded
  const work = async (call: Call): Promise<void> => {
    // Decoded anew for each run, as each delivery is: a handler may change what it gets.
    const ready = { index: 0, item: { envelope, ref: null, isAlone: true }, entry, message: undefined }
    await callHandler([ready], call)
  }

  return async (number) => {
    const end = new AbortController()
    const options = { idleTimeoutMs: timeoutMs + idleReserveMs, signal: end.signal }
    await transactions.run(options, async ({ handle }) => {
      const client = handle as SqlClient
      const { rows } = await client.query(
        `select pg_backend_pid() as pid, set_config('search_path', $1 || ', ' || current_setting('search_path'), true)`,
        [quoteName(schema)],
      )
      await client.query(armText(schema))
      tell({ type: 'begun', number, pid: Number(rows[0]?.['pid']) })
      try {
        const call = { consumer, tx: handle, signal: end.signal, attempt: 1 }
        await withDeadline(work(call), timeoutMs, 'The handler')
      } catch (error) {
        // What it has not awaited would otherwise run after the rollback, outside any transaction.
        end.abort()
        throw error
      }
      await new Promise<void>((resolve) => {
        goes.set(number, resolve)
        tell({ type: 'asks', number })
      })
      await client.query(`select set_config('${mayCommitSetting}', 'yes', true)`)
      await client.query(armText(schema))
    })
  }
}

function tell(note: ChildNote): void {
  process.send!(note)
}
