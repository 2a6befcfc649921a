import { WaybillError } from '../index.ts'
import { type FaultClass, faultClasses } from './catalog.ts'

/** How names of faults begin, and what of a run they need: a kill is of a process or of a server. */
const kinds: Readonly<Record<string, readonly FaultClass[]>> = {
  kill: ['kill', 'server'],
  restart: ['restart', 'server'],
  pause: ['pause', 'server'],
  'black hole': ['network'],
  'half open': ['network'],
  reset: ['network'],
  latency: ['network'],
  slices: ['network'],
  cut: ['network'],
  refuse: ['network'],
  'lost commit': ['network'],
  'lost produce': ['network'],
  'terminate backends': ['sessions'],
  clock: ['clock'],
  'disk full': ['disk'],
}

/** For the help, and for who has mistyped one. */
export const faultWords: readonly string[] = [...new Set([...faultClasses, ...Object.keys(kinds)])]

interface Named {
  readonly name: string
  readonly class: FaultClass
}

/** Whether it can be meant: a class, a kind that no class is called by, or a fault by its name, such as `slices relays-kafka`. */
export function isFaultChoice(choice: string): boolean {
  return isClass(choice) || kindOf(choice) !== undefined
}

/** What of a run these need. */
export function classesOf(choices: readonly string[]): ReadonlySet<FaultClass> {
  return new Set(choices.flatMap((choice) => (isClass(choice) ? [choice] : (kindOf(choice) ?? []))))
}

export function isChosen(choices: readonly string[], { name, class: own }: Named): boolean {
  return choices.some((choice) => (isClass(choice) ? choice === own : isNamed(name, choice)))
}

/** Throws `WB_INVALID_OPTION` where one of them is no fault of this run. */
export function checkChoices(choices: readonly string[], faults: readonly Named[]): void {
  for (const choice of choices) {
    if (isClass(choice) || faults.some(({ name }) => isNamed(name, choice))) continue
    const names = faults.map(({ name }) => name).join(', ')
    throw new WaybillError('WB_INVALID_OPTION', `"${choice}" is no fault of this run. There are: ${names}.`)
  }
}

function isNamed(name: string, choice: string): boolean {
  return name === choice || (Object.hasOwn(kinds, choice) && name.startsWith(`${choice} `))
}

function isClass(choice: string): choice is FaultClass {
  return faultClasses.some((one) => one === choice)
}

function kindOf(choice: string): readonly FaultClass[] | undefined {
  return Object.entries(kinds).find(([kind]) => choice === kind || choice.startsWith(`${kind} `))?.[1]
}
