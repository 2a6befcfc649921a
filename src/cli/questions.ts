import type { Readable, Writable } from 'node:stream'
import { confirm, isCancel, select, text } from '@clack/prompts'
import { isName, nameRule } from '../kernel/names.ts'
import { brokers, type Answers } from './advice.ts'

export interface Terminal {
  readonly input: Readable
  readonly output: Writable
}

/** Asks what choosing turns on, one thing after another; `null` where it was left with Ctrl-C or Escape. */
export async function askAnswers(terminal: Terminal): Promise<Answers | null> {
  const name = await text({
    ...terminal,
    message: 'What is the channel called?',
    placeholder: 'orders.placed',
    defaultValue: 'orders.placed',
    validate: (value) =>
      value === undefined || value === '' || isName(value) ? undefined : `It takes ${nameRule}.`,
  })
  if (isCancel(name)) return null
  const mayBeLost = await confirm({
    ...terminal,
    message: 'May a message be lost now and then (telemetry, presence)?',
    initialValue: false,
  })
  if (isCancel(mayBeLost)) return null
  const mayRepeat = mayBeLost
    ? 'no'
    : await select<Answers['mayRepeat']>({
        ...terminal,
        message: 'May its effect be there twice?',
        options: [
          { value: 'no', label: 'No', hint: 'payments, inventory, balances' },
          {
            value: 'idempotent',
            label: 'No, but the handler bears being run again',
            hint: 'it sets a state',
          },
          { value: 'yes', label: 'Yes', hint: 'notifications, search indexing' },
        ],
      })
  if (isCancel(mayRepeat)) return null
  const inTransaction = await confirm({
    ...terminal,
    message: 'Is it sent because of a change in your database, in one transaction with it?',
    initialValue: true,
  })
  if (isCancel(inTransaction)) return null
  const ordered = await confirm({
    ...terminal,
    message: 'Must messages of one key be handled in order?',
    initialValue: false,
  })
  if (isCancel(ordered)) return null
  const latency = await select<Answers['latency']>({
    ...terminal,
    message: 'What counts more?',
    options: [
      { value: 'normal', label: 'Throughput' },
      { value: 'low', label: 'Latency', hint: 'milliseconds' },
    ],
  })
  if (isCancel(latency)) return null
  const broker = await select<Answers['broker']>({
    ...terminal,
    message: 'Which broker?',
    options: brokers.map((value) => ({
      value,
      ...(value === 'local' ? { hint: 'none: consumers of the same database' } : {}),
    })),
  })
  if (isCancel(broker)) return null
  return { name, mayBeLost, mayRepeat, inTransaction, ordered, latency, broker }
}
