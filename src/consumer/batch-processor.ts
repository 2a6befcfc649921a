import { WaybillError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import type { Inbox } from '../ports/inbox.ts'
import {
  type Place,
  runTogether,
  type TransactionParts,
  type TransactionResult,
} from './batch-transaction.ts'
import type { Ready } from './call-handler.ts'
import { decode, UpcastError } from './decode.ts'
import { isRejection, pauseOf } from './handler-errors.ts'
import { noHandler, orderKey, type HandlerTable } from './handler.ts'
import { failed, later, notDone, skipped, type Outcome } from './outcome.ts'
import type { WorkItem } from './work-item.ts'

export interface BatchProcessorOptions<Ref> extends TransactionParts<Ref> {
  readonly handlers: HandlerTable
  readonly inbox: Pick<Inbox, 'countStart' | 'takeBackStart'>
  /** For channels that declare none of their own. */
  readonly maxAttempts: number
  /**
   * What a message is kept in order with, or `null`.
   * @default its key, where its channel is ordered
   */
  readonly keyOf?: (item: WorkItem<Ref>) => string | null
  /** Why a message may not be run where it came from; it is given up then. */
  readonly refuse?: (item: WorkItem<Ref>) => WaybillError | undefined
  /**
   * Another transaction than the store's, for those whose effects are elsewhere. `undefined`: the store's.
   * @default always the store's
   */
  readonly elsewhere?: (
    ready: readonly Ready<Ref>[],
    attempt: number,
    stop: AbortSignal,
  ) => Promise<TransactionResult> | undefined
}

/**
 * Runs messages through their handlers (PROTOCOLS 7): one transaction for a batch, and where that fails one for each, so
 * that a bad message costs only itself and the rest of its key. Keeps the order given. Holds no state between calls.
 */
export class BatchProcessor<Ref> {
  readonly #options: BatchProcessorOptions<Ref>

  constructor(options: BatchProcessorOptions<Ref>) {
    this.#options = options
  }

  /**
   * Decodes items that are to run together, before it is their turn. `undefined` where that is not all there is to do before their
   * transaction: something of them has to be waited for, refused or counted.
   */
  readyAhead(items: readonly WorkItem<Ref>[]): readonly Ready<Ref>[] | undefined {
    const ready: Ready<Ref>[] = []
    for (const [index, item] of items.entries()) {
      const entry = this.#options.handlers.get(item.envelope.channel)
      if (item.isAlone || entry === undefined || this.#options.refuse?.(item) !== undefined) return undefined
      try {
        const message = decode(item.envelope, entry.channel)
        if (!(message instanceof Promise)) ready.push({ index, item, entry, message })
        else return void message.catch(() => {})
      } catch {
        return undefined
      }
    }
    return ready
  }

  /**
   * One outcome for each item, in order. `stop` gives up what is running: it rolls back and is `unavailable`. What was made ready for
   * a `place` in a row begins in this very call.
   */
  async process(
    items: readonly WorkItem<Ref>[],
    stop: AbortSignal,
    place?: Place & { readonly ready?: readonly Ready<Ref>[] },
  ): Promise<readonly Outcome[]> {
    const pass: Pass = { outcomes: [], stoppedKeys: new Set(), trouble: undefined, place }
    if (place?.ready !== undefined) {
      await this.#runReady(pass, place.ready, stop)
      return pass.outcomes
    }
    for (let from = 0; from < items.length;) {
      const isAlone = items[from]!.isAlone
      let to = from + 1
      while (to < items.length && items[to]!.isAlone === isAlone) to += 1
      await this.#segment(pass, items.slice(from, to), from, isAlone, stop)
      from = to
    }
    return pass.outcomes
  }

  async #segment(
    pass: Pass,
    items: readonly WorkItem<Ref>[],
    offset: number,
    isAlone: boolean,
    stop: AbortSignal,
  ): Promise<void> {
    const ready: Ready<Ref>[] = []
    for (const [i, item] of items.entries()) {
      const prepared = pass.trouble ?? this.#prepare(pass, item, offset + i, ready)
      const outcome = prepared instanceof Promise ? await prepared : prepared
      if (outcome !== undefined) pass.outcomes[offset + i] = outcome
    }
    if (ready.length === 0) return
    if (isAlone) await this.#oneByOne(pass, ready, stop)
    else await this.#runReady(pass, ready, stop)
  }

  async #runReady(pass: Pass, ready: readonly Ready<Ref>[], stop: AbortSignal): Promise<void> {
    if (!(await this.#together(pass, ready, stop))) await this.#oneByOne(pass, ready, stop)
  }

  async #oneByOne(pass: Pass, ready: readonly Ready<Ref>[], stop: AbortSignal): Promise<void> {
    for (const one of ready) pass.outcomes[one.index] = pass.trouble ?? (await this.#alone(pass, one, stop))
  }

  /** What cannot be run is known before the transaction begins, and so does not fail the batch it came with. */
  #prepare(
    pass: Pass,
    item: WorkItem<Ref>,
    index: number,
    ready: Ready<Ref>[],
  ): Outcome | undefined | Promise<Outcome | undefined> {
    const { envelope } = item
    if (this.#isStopped(pass, item)) return skipped
    const refusal = this.#options.refuse?.(item)
    if (refusal !== undefined) {
      this.#stopKey(pass, item)
      return failed(refusal, 1, false)
    }
    const entry = this.#options.handlers.get(envelope.channel)
    if (entry === undefined) {
      // Never done (P15): it is tried again, for the handler may come with the next deployment, and then kept as a dead letter.
      return this.#count(pass, item, noHandler(this.#options.consumer, envelope))
    }
    const unreadable = (error: unknown): Outcome => {
      this.#stopKey(pass, item)
      return failed(error, 1, false)
    }
    try {
      const message = decode(envelope, entry.channel)
      if (message instanceof Promise)
        return message.then(
          (decoded) => void ready.push({ index, item, entry, message: decoded }),
          unreadable,
        )
      ready.push({ index, item, entry, message })
      return undefined
    } catch (error) {
      return unreadable(error)
    }
  }

  /** `false`: the batch failed, and is to be redone one by one. */
  async #together(pass: Pass, ready: readonly Ready<Ref>[], stop: AbortSignal): Promise<boolean> {
    const result = await this.#run(ready, 1, stop, pass.place)
    switch (result.kind) {
      case 'committed':
        for (const [i, one] of ready.entries()) pass.outcomes[one.index] = result.outcomes[i]!
        return true
      case 'commit-unknown':
        for (const one of ready) pass.outcomes[one.index] = notDone('unknown', result.error)
        return true
      case 'passed-over':
        for (const one of ready) pass.outcomes[one.index] = skipped
        return true
      case 'moved':
      case 'stale':
      case 'reassigned':
      case 'unavailable':
        // A statement of one of them may have ended the session, and would do so each time: by itself it is counted, and given up at last.
        // Where the store is away, that shows at the first count, and nobody is charged.
        if (result.kind === 'unavailable' && result.isBlameless === false) return false
        pass.trouble = notDone(result.kind === 'moved' ? 'unavailable' : result.kind, result.error)
        for (const one of ready) pass.outcomes[one.index] = pass.trouble
        return true
      case 'message':
      case 'conflict':
        if (ready.length > 1) return false
        // It was alone already: the failure counts, and is not tried a second time at once.
        pass.outcomes[ready[0]!.index] = await this.#count(pass, ready[0]!.item, result.error)
        return true
    }
  }

  async #count(pass: Pass, item: WorkItem<Ref>, error: unknown): Promise<Outcome> {
    const { inbox, consumer } = this.#options
    const pauseMs = pauseOf(error)
    if (pauseMs !== undefined) {
      this.#stopKey(pass, item)
      return later(error, 0, pauseMs)
    }
    try {
      const attempts = await inbox.countStart(consumer, item.envelope.id)
      this.#stopKey(pass, item)
      return failed(error, attempts, canSucceed(error))
    } catch (storeError) {
      return (pass.trouble = notDone('unavailable', storeError))
    }
  }

  async #alone(pass: Pass, one: Ready<Ref>, stop: AbortSignal): Promise<Outcome> {
    const { inbox, consumer, maxAttempts } = this.#options
    const { item } = one
    const { envelope } = item
    if (this.#isStopped(pass, item)) return skipped
    if (stop.aborted) return (pass.trouble = notDone('unavailable', stop.reason))
    let starts: number
    try {
      starts = await inbox.countStart(consumer, envelope.id)
    } catch (error) {
      return (pass.trouble = notDone('unavailable', error))
    }
    if (starts > (one.entry.channel.maxAttempts ?? maxAttempts)) {
      this.#stopKey(pass, item)
      return failed(neverEnded(envelope, starts - 1), starts - 1, false)
    }
    const result = await this.#run([one], starts, stop)
    switch (result.kind) {
      case 'committed':
        // Where it is not noted with its effect it comes again until it is settled, and what was delivered would be buried too.
        if (one.entry.form === 'settle-after') await this.#takeBack(envelope)
        return result.outcomes[0]!
      case 'moved':
      case 'stale':
      case 'reassigned':
      case 'unavailable':
        // An outage of others must not use up the attempts of a healthy message (O2).
        if (result.isBlameless === true) await this.#takeBack(envelope)
        return (pass.trouble = notDone(result.kind === 'moved' ? 'unavailable' : result.kind, result.error))
      case 'commit-unknown':
        this.#stopKey(pass, item)
        // Its handler has ended in success. Answers that are lost again and again would use up its attempts, and what was delivered would be
        // buried too (F2).
        await this.#takeBack(envelope)
        return notDone('unknown', result.error)
      case 'passed-over':
        return skipped
      case 'message':
      case 'conflict':
        this.#stopKey(pass, item)
        return await this.#failed(pass, envelope, result.error, starts)
    }
  }

  /** The start that was counted before it ran. Where that is lost the count stays: it gives up too early, and never too late. */
  async #takeBack({ id }: Envelope): Promise<void> {
    await this.#options.inbox.takeBackStart(this.#options.consumer, id).catch(() => {})
  }

  /** It was counted before it ran. Where it was not its time that is taken back: it is tried without end, and never given up for it. */
  async #failed(pass: Pass, { id }: Envelope, error: unknown, starts: number): Promise<Outcome> {
    const pauseMs = pauseOf(error)
    if (pauseMs === undefined) return failed(error, starts, canSucceed(error))
    try {
      await this.#options.inbox.takeBackStart(this.#options.consumer, id)
      return later(error, starts - 1, pauseMs)
    } catch (storeError) {
      return (pass.trouble = notDone('unavailable', storeError))
    }
  }

  #run(
    ready: readonly Ready<Ref>[],
    attempt: number,
    stop: AbortSignal,
    place?: Place,
  ): Promise<TransactionResult> {
    return (
      this.#options.elsewhere?.(ready, attempt, stop) ??
      runTogether(this.#options, ready, attempt, stop, place)
    )
  }

  #isStopped(pass: Pass, item: WorkItem<Ref>): boolean {
    const key = this.#keyOf(item)
    return key !== null && pass.stoppedKeys.has(key)
  }

  #keyOf(item: WorkItem<Ref>): string | null {
    const { keyOf, handlers } = this.#options
    return keyOf === undefined ? orderKey(handlers, item.envelope) : keyOf(item)
  }

  #stopKey(pass: Pass, item: WorkItem<Ref>): void {
    const key = this.#keyOf(item)
    if (key !== null) pass.stoppedKeys.add(key)
  }
}

/** What is known so far in one call. */
interface Pass {
  readonly outcomes: Outcome[]
  /** A message of these failed: later ones may not overtake it. */
  readonly stoppedKeys: Set<string>
  /** The store cannot be reached, or the consumer stops: nothing more is run. */
  trouble: Outcome | undefined
  /** Of its batch. */
  readonly place: Place | undefined
}

function canSucceed(error: unknown): boolean {
  return !(error instanceof UpcastError) && !isRejection(error)
}

function neverEnded(envelope: Envelope, starts: number): WaybillError {
  return new WaybillError(
    'WB_HANDLER_FAILED',
    `The handler of message ${envelope.id} was started ${starts} times and never ended in success: ` +
      'it may end the process it runs in.',
  )
}
