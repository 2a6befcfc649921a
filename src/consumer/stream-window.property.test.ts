import fc from 'fast-check'
import { expect, it } from 'vitest'
import { envelope } from '../../test/fakes/messages.ts'
import type { Delivery } from '../ports/transport.ts'
import { StreamWindow } from './stream-window.ts'
import type { WindowEntry } from './window-entry.ts'

type Step =
  | { readonly type: 'receive'; readonly stream: number; readonly keys: readonly (string | null)[] }
  | { readonly type: 'again'; readonly stream: number }
  | { readonly type: 'take'; readonly most: number }
  | { readonly type: 'conclude'; readonly which: number; readonly how: 'finish' | 'hold' | 'release' }
  | { readonly type: 'settle'; readonly isAnswered: boolean }
  | { readonly type: 'revoke'; readonly stream: number; readonly isTold: boolean }
  | { readonly type: 'recede'; readonly stream: number }
  | { readonly type: 'pass'; readonly ms: number }

const stream = fc.nat(2)
const key = fc.constantFrom('a', 'b', 'c', null)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('receive'), stream, keys: fc.array(key, { maxLength: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('again'), stream }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('take'), most: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('conclude'),
      which: fc.nat(),
      how: fc.constantFrom('finish', 'finish', 'hold', 'release'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('settle'), isAnswered: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('revoke'), stream, isTold: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('recede'), stream }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('pass'), ms: fc.nat(20) }) },
)

/** The last two are kept in order as a whole. */
const forms = ['after', 'checkpoint', 'first'] as const

/** A broker of three streams, and what a window may do with them. */
class Model {
  readonly window: StreamWindow
  readonly running: WindowEntry[] = []
  /** Everything that was ever delivered, by stream; index is position. */
  readonly logs: Delivery[][] = [[], [], []]
  readonly assignments = [1, 1, 1]
  /** Position of each stream from which a new owner begins. */
  readonly committed = [0, 0, 0]
  /** How far each stream was delivered under its current assignment. */
  readonly received = [0, 0, 0]
  readonly done = [new Set<bigint>(), new Set<bigint>(), new Set<bigint>()]
  /** Streams that will be taken away. */
  readonly receding = new Set<number>()
  /** Streams of which something came under their current assignment. */
  readonly #known = new Set<number>()
  now = 0
  takes = 0

  constructor(cautious: number) {
    this.window = new StreamWindow(cautious, (name) => forms[indexOfName(name)]!)
  }

  run(step: Step): void {
    switch (step.type) {
      case 'receive':
        this.#receive(step.stream, step.keys)
        break
      case 'again':
        this.#deliver(this.logs[step.stream]!.slice(this.committed[step.stream], this.received[step.stream]))
        break
      case 'take':
        this.take(step.most)
        break
      case 'conclude':
        if (this.running.length > 0) this.conclude(step.which % this.running.length, step.how)
        break
      case 'settle':
        this.settle(step.isAnswered)
        break
      case 'revoke':
        if (step.isTold) this.window.revoke([`s/${step.stream}`])
        this.assignments[step.stream]! += 1
        this.received[step.stream] = this.committed[step.stream]!
        this.done[step.stream] = new Set()
        this.receding.delete(step.stream)
        this.#known.delete(step.stream)
        if (!step.isTold) this.#receive(step.stream, ['a'])
        break
      case 'recede':
        this.window.recede([`s/${step.stream}`])
        if (this.#known.has(step.stream)) this.receding.add(step.stream)
        break
      case 'pass':
        this.now += step.ms
    }
  }

  #receive(index: number, keys: readonly (string | null)[]): void {
    const log = this.logs[index]!
    for (const [i, name] of keys.entries()) {
      const position = this.received[index]! + i
      // What is there already comes with the key it has.
      log[position] ??= {
        envelope: envelope(`s/${index}@${position}`, name),
        raw: null,
        stream: `s/${index}`,
        position: BigInt(position),
        assignment: 0,
      }
    }
    const from = this.received[index]!
    this.received[index] = from + keys.length
    this.#deliver(log.slice(from, from + keys.length))
  }

  #deliver(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.#known.add(indexOf(delivery))
    this.window.add(
      deliveries.map((delivery) => ({ ...delivery, assignment: this.assignments[indexOf(delivery)]! })),
      (delivery) => delivery.envelope?.key ?? null,
    )
  }

  take(most: number): number {
    const { entries } = this.window.take(most, this.now, { mostSettled: Math.min(most, 2) })
    expect(entries.length).toBeLessThanOrEqual(most)
    const strict = entries.filter(({ form }) => form !== 'after')
    if (strict.length > 0) expect(new Set(entries.map(({ delivery }) => delivery.stream)).size).toBe(1)
    if (strict.some(({ form }) => form === 'first')) expect(strict.length).toBeLessThanOrEqual(2)
    for (const { delivery } of entries) {
      // Of a stream that will be taken away only what stands before something that has begun.
      if (this.receding.has(indexOf(delivery))) expect(this.#hasBegunBehind(delivery)).toBe(true)
    }
    for (const entry of entries) {
      const { delivery } = entry
      this.takes += 1
      // Nothing is processed twice at once, also not over assignments.
      expect(this.running.filter((other) => isSame(other.delivery, delivery))).toEqual([])
      // Nothing that is done runs again under the same assignment.
      expect(this.done[indexOf(delivery)]!.has(delivery.position)).toBe(false)
      if (entry.state === 'running') this.#mustBeHead(entry, entries)
      this.running.push(entry)
    }
    return entries.length
  }

  #hasBegunBehind({ stream: name, position }: Delivery): boolean {
    const running = this.running.filter(
      (entry) => entry.state === 'running' && entry.delivery.stream === name,
    )
    const begun = [...this.done[indexOfName(name)]!, ...running.map(({ delivery }) => delivery.position)]
    return begun.some((other) => other > position)
  }

  /** Those of its key before it are done, or stand before it in the same turn. */
  #mustBeHead(entry: WindowEntry, turn: readonly WindowEntry[]): void {
    const { stream: name, position } = entry.delivery
    if (entry.key === null) return
    const index = indexOf(entry.delivery)
    const before = this.logs[index]!.slice(this.committed[index], Number(position))
    const isOfKey = (other: Delivery): boolean => entry.form !== 'after' || other.envelope?.key === entry.key
    for (const earlier of before.filter(isOfKey)) {
      const inTurn = turn.findIndex((other) => isSame(other.delivery, earlier))
      const isBefore = inTurn !== -1 && inTurn < turn.indexOf(entry)
      expect(this.done[index]!.has(earlier.position) || isBefore, `${name} ${earlier.position}`).toBe(true)
    }
  }

  conclude(which: number, how: 'finish' | 'hold' | 'release'): void {
    const [entry] = this.running.splice(which, 1)
    const { delivery } = entry!
    const isCurrent = entry!.state === 'running'
    if (how === 'hold') this.window.hold(entry!, this.now + 10)
    else this.window[how](entry!)
    if (how === 'finish' && isCurrent) this.done[indexOf(delivery)]!.add(delivery.position)
  }

  settle(isAnswered: boolean): void {
    const positions = this.window.settleable()
    for (const { stream: name, position, assignment } of positions) {
      const index = Number(name.slice(2))
      expect(assignment).toBe(this.assignments[index])
      for (let p = BigInt(this.committed[index]!); p <= position; p += 1n) {
        expect(this.done[index]!.has(p), `${name} settled past ${p}`).toBe(true)
      }
      if (isAnswered) this.committed[index] = Number(position) + 1
    }
    if (isAnswered) this.window.settled(positions)
  }
}

function indexOf(delivery: Delivery): number {
  return indexOfName(delivery.stream)
}

function indexOfName(name: string): number {
  return Number(name.slice(2))
}

function isSame(a: Delivery, b: Delivery): boolean {
  return a.stream === b.stream && a.position === b.position
}

it('keeps order and settlement right under any interleaving, and a failing message costs only its key', () => {
  let takes = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.nat(3), (steps, cautious) => {
      const model = new Model(cautious)
      for (const one of steps) model.run(one)
      // From here on one key fails for ever, in each stream, and everything else goes well.
      const isPoison = (entry: WindowEntry): boolean => entry.key === 'a'
      while (model.running.length > 0) model.conclude(0, 'release')
      for (let turns = 0; turns < 2000; turns++) {
        model.take(3)
        model.running.sort((x, y) => Number(x.delivery.position - y.delivery.position))
        while (model.running.length > 0) model.conclude(0, isPoison(model.running[0]!) ? 'hold' : 'finish')
        model.settle(true)
        if (model.logs.every((log, i) => isThrough(model, log, i))) break
        model.now += 10
      }
      // What had begun of a stream that will be taken away is settled, or held; all else comes again.
      for (const index of model.receding) {
        expect(model.window.isAtRest(`s/${index}`)).toBe(true)
        model.run({ type: 'revoke', stream: index, isTold: true })
      }
      for (const [i, log] of model.logs.entries()) {
        expect(remaining(model, log, i).filter(({ envelope: e }) => e?.key !== 'a')).toEqual([])
      }
      model.settle(true)
      const firstLeft = model.logs.map((log, i) =>
        Number(remaining(model, log, i)[0]?.position ?? model.received[i]),
      )
      expect(model.committed).toEqual(firstLeft)
      takes += model.takes
    }),
    { numRuns: 2000 },
  )
  expect(takes).toBeGreaterThan(2000)
})

/** All that is left is of the key that fails, or comes again. */
function isThrough(model: Model, log: readonly Delivery[], index: number): boolean {
  if (model.receding.has(index)) return model.window.isAtRest(`s/${index}`)
  return remaining(model, log, index).every(({ envelope: e }) => e?.key === 'a')
}

function remaining(model: Model, log: readonly Delivery[], index: number): readonly Delivery[] {
  return log
    .slice(model.committed[index], model.received[index])
    .filter(({ position }) => !model.done[index]!.has(position))
}
