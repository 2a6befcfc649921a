import { writeSync } from 'node:fs'
import { WaybillError } from '../kernel/errors.ts'
import { failpointNames, type FailpointHook, type FailpointName } from '../kernel/failpoint.ts'
import { didYouMean } from '../kernel/suggest.ts'

/** SIGKILL or SIGSTOP of this very process, a {@link FailpointError}, or anything else a test wants to happen there. */
export type FailpointAction = 'kill' | 'stop' | 'throw' | (() => void)

/** Thrown at a failpoint armed with `throw`. */
export class FailpointError extends Error {
  override readonly name = 'FailpointError'
}

export interface ArmedFailpoint extends Disposable {
  /** How often this point was passed since it was armed: a test that needs it to have fired can tell. */
  hits(): number
  disarm(): void
}

interface Armed {
  readonly name: FailpointName
  readonly action: FailpointAction
  readonly at: number
  hits: number
}

const actions = ['kill', 'stop', 'throw'] as const
const slot: unique symbol = Symbol.for('waybill.failpoint') as never
const scope = globalThis as { [slot]?: FailpointHook }
const armed = new Set<Armed>()

const hook: FailpointHook = (name) => {
  for (const one of [...armed]) {
    if (one.name === name && ++one.hits === one.at) act(one)
  }
}

function act({ name, action }: Armed): void {
  if (typeof action === 'function') return action()
  if (action === 'throw') throw new FailpointError(`failpoint ${name}`)
  // Written at once, because nothing of this process may run afterwards; the parent waits for this line.
  try {
    writeSync(2, `failpoint ${name} ${action}\n`)
  } catch {
    // A full or closed pipe: the action matters more than the word.
  }
  process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP')
}

/**
 * Arms a crash point in this process: at the `at`-th hit from now on (and only then) the action happens.
 *
 * @param at @default 1
 */
export function armFailpoint(name: FailpointName, action: FailpointAction, at = 1): ArmedFailpoint {
  checkName(name)
  const one: Armed = { name, action, at, hits: 0 }
  armed.add(one)
  scope[slot] = hook
  const disarm = (): void => {
    armed.delete(one)
    if (armed.size === 0 && scope[slot] === hook) delete scope[slot]
  }
  return { hits: () => one.hits, disarm, [Symbol.dispose]: disarm }
}

/** Arms what a text such as `relay.after-send=kill@3;consumer.before-commit=stop` says. Throws `WB_INVALID_OPTION`. */
export function armFailpoints(text: string): readonly ArmedFailpoint[] {
  const parsed = text
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parse)
  return parsed.map(({ name, action, at }) => armFailpoint(name, action, at))
}

function parse(part: string): {
  readonly name: FailpointName
  readonly action: 'kill' | 'stop' | 'throw'
  readonly at: number
} {
  const equals = part.indexOf('=')
  const name = equals < 0 ? part : part.slice(0, equals)
  checkName(name)
  const [action = '', hit = '1'] = equals < 0 ? [] : part.slice(equals + 1).split('@')
  const at = /^\d+$/u.test(hit) ? Number(hit) : 0
  if (!isAction(action) || at < 1) {
    const hint = didYouMean(action, actions)
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Failpoint ${name} wants kill, stop or throw, and may say at which hit: ${name}=kill@3.${hint}`,
    )
  }
  return { name, action, at }
}

function isAction(action: string): action is 'kill' | 'stop' | 'throw' {
  return actions.some((one) => one === action)
}

function checkName(name: string): asserts name is FailpointName {
  if (failpointNames.some((known) => known === name)) return
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `There is no failpoint "${name}".${didYouMean(name, failpointNames)}`,
  )
}
