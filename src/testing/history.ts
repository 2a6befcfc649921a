import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { WaybillError } from '../kernel/errors.ts'

/** `invoke`: begun · `ok`: done, known · `fail`: not done, known · `info`: may be done or not, or simply noted. */
export type HistoryEventType = 'invoke' | 'ok' | 'fail' | 'info'

/**
 * What is noted.
 * `write`: a transaction with a message (invoke, then ok: committed, fail: rolled back, info: outcome unknown) ·
 * `wire`: a copy of it on the wire · `handle`: a handler's run (invoke, then ok or fail) · `effect`: a committed effect, one
 * event for each row of the ledger, in its order · `dead`, `expired`, `dropped`: what else may become of it ·
 * `output`: a message that a handler published, `of` the one it handled · `reading`: a sum that was read, in `value` ·
 * `lease`: a relay has a partition (`key`) from here on, under an `epoch` · `ack`: it deletes a row that was delivered, `mark`: it writes
 * anything else of a row (invoke, then ok with the number of rows that it changed in `value`) ·
 * `fault`: invoke when it begins and ok when it is healed, or info for one that is over at once (SIGKILL); `key` names it.
 */
export type HistoryOperation =
  | 'write'
  | 'wire'
  | 'handle'
  | 'effect'
  | 'dead'
  | 'expired'
  | 'dropped'
  | 'output'
  | 'reading'
  | 'lease'
  | 'mark'
  | 'ack'
  | 'fault'

export interface HistoryEvent {
  readonly process: string
  readonly type: HistoryEventType
  readonly f: HistoryOperation
  readonly key: string | null
  /** The message's place in its key's commit order. */
  readonly seq: number | null
  /** The message's id. */
  readonly id: string | null
  /** Microseconds of the machine's monotonic clock: comparable between its processes. */
  readonly t: number
  /** Hash of the message's bytes and headers, where they are checked. */
  readonly hash?: string
  /** Of an output: the id of the message that was handled. */
  readonly of?: string
  /** Of a reading, or of rows that were changed. */
  readonly value?: number
  /** Of a lease, and of what is written under it. */
  readonly epoch?: number
}

export type HistoryNote = Pick<HistoryEvent, 'type' | 'f'> &
  Partial<Omit<HistoryEvent, 'process' | 't' | 'type' | 'f'>>

export interface HistoryRecorder extends Disposable {
  note(event: HistoryNote): void
  close(): void
}

/**
 * Appends events to a file of this process's own, a line of JSON each. Every line is handed to the kernel before `note`
 * returns: SIGKILL loses none. A process that is started again may go on in the file of its last life.
 */
export function recordHistory(file: string, name = `${process.pid}`): HistoryRecorder {
  const descriptor = openSync(file, 'a+')
  mendEnd(descriptor)
  let isOpen = true
  const close = (): void => {
    if (isOpen) closeSync(descriptor)
    isOpen = false
  }
  return {
    note: (event) => {
      const t = Number(process.hrtime.bigint() / 1000n)
      const full: HistoryEvent = { process: name, key: null, seq: null, id: null, ...event, t }
      writeSync(descriptor, `${JSON.stringify(full)}\n`)
    },
    close,
    [Symbol.dispose]: close,
  }
}

/**
 * What a killed life has left as its last line must not run into the first of this one. A torn one was not said (see `readHistory`),
 * and is taken away: so only the last line of a file may be broken.
 */
function mendEnd(descriptor: number): void {
  const { size } = fstatSync(descriptor)
  const last = lastLine(descriptor, size)
  if (last.length === 0) return
  if (parseTorn(last.toString('utf8')) === undefined) ftruncateSync(descriptor, size - last.length)
  else writeSync(descriptor, '\n')
}

/** What stands behind the last line feed. A file may have grown for hours: only its end is read. */
function lastLine(descriptor: number, size: number): Buffer {
  for (let length = Math.min(size, endBytes); ; length = Math.min(size, 2 * length)) {
    const end = Buffer.alloc(length)
    readSync(descriptor, end, 0, length, size - length)
    const lineEnd = end.lastIndexOf(lineFeed)
    if (lineEnd !== -1 || length === size) return end.subarray(lineEnd + 1)
  }
}

/** Longer than most lines. */
const endBytes = 4096

/**
 * The events of several processes in order of time; those of one file keep their order. A torn last line is left out: its
 * writer was killed within it, so nothing came of what it was about to say. Any other broken line is an error.
 */
export function readHistory(files: readonly string[]): readonly HistoryEvent[] {
  return mergeHistories(files.map((file) => eventsOf(linesOf(readFileSync(file)), file)))
}

export function mergeHistories(histories: readonly (readonly HistoryEvent[])[]): readonly HistoryEvent[] {
  return histories.flat().sort((a, b) => a.t - b.t)
}

export function parseHistory(text: string, name = 'history'): readonly HistoryEvent[] {
  return eventsOf(text.split('\n'), name)
}

/** One by one: what is written in hours is more than a string may hold. */
function linesOf(bytes: Buffer): string[] {
  const lines: string[] = []
  let from = 0
  for (let end = bytes.indexOf(lineFeed); end !== -1; end = bytes.indexOf(lineFeed, from)) {
    lines.push(bytes.toString('utf8', from, end))
    from = end + 1
  }
  lines.push(bytes.toString('utf8', from))
  return lines
}

const lineFeed = 10

function eventsOf(lines: string[], name: string): readonly HistoryEvent[] {
  // Empty where the last line was written whole.
  const torn = lines.pop()!
  const events = lines.map((line, index) => parseLine(line, `${name}:${index + 1}`))
  const last = parseTorn(torn)
  return last === undefined ? events : [...events, last]
}

function parseLine(line: string, where: string): HistoryEvent {
  try {
    return JSON.parse(line) as HistoryEvent
  } catch (error) {
    throw new WaybillError('WB_ENVELOPE_INVALID', `${where} is no event: the history is damaged.`, {
      cause: error,
    })
  }
}

// Whole but for its line feed: it was said.
function parseTorn(line: string): HistoryEvent | undefined {
  try {
    return JSON.parse(line) as HistoryEvent
  } catch {
    return undefined
  }
}
