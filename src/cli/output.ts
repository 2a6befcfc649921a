import pc from 'picocolors'

export type Colors = ReturnType<typeof pc.createColors>

/** What a longer text for people is set on. */
export interface Page {
  readonly colors: Colors
  /** Characters in a line. */
  readonly width: number
}

export interface OutputStream {
  readonly isTTY?: boolean
  /** Of a terminal. */
  readonly columns?: number
  write(text: string): unknown
}

/** Where a terminal's width is not known, and the widest that is read at a glance. */
const widest = 80
/** Of a table that goes to a file or a pager. */
const widestSheet = 140
/** Below it columns have no room. */
const narrowest = 60

/**
 * Where a command's words go. With `--json` the result is one line of JSON and the only thing on stdout; all else, for people,
 * goes to stderr. Without it stdout gets the result as text.
 */
export class Output {
  readonly isJson: boolean
  /** For text on the stream that {@link say} writes to. */
  readonly colors: Colors
  readonly errorColors: Colors
  readonly #stdout: OutputStream
  readonly #stderr: OutputStream
  readonly #env: Readonly<Record<string, string | undefined>>

  constructor(
    isJson: boolean,
    stdout: OutputStream = process.stdout,
    stderr: OutputStream = process.stderr,
    env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    this.isJson = isJson
    this.#stdout = stdout
    this.#stderr = stderr
    this.#env = env
    this.colors = this.#colorsFor(this.#target)
    this.errorColors = this.#colorsFor(stderr)
  }

  /** Whether a view that is painted anew can be shown on stderr. */
  get isLive(): boolean {
    return this.#stderr.isTTY === true && this.#env['TERM'] !== 'dumb'
  }

  /** For a text that goes to {@link say}. */
  get page(): Page {
    const { isTTY, columns } = this.#target
    return {
      colors: this.colors,
      width: isTTY === true ? Math.max(narrowest, Math.min(widest, columns || widest)) : widest,
    }
  }

  /** For a table that goes to {@link say}: as wide as the terminal is. */
  get sheet(): Page {
    const { isTTY, columns } = this.#target
    return {
      colors: this.colors,
      width: isTTY === true ? Math.max(narrowest, columns || widest) : widestSheet,
    }
  }

  /** The result for people. */
  say(text: string): void {
    this.#target.write(`${text}\n`)
  }

  /** What is going on meanwhile. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`)
  }

  /** The result for programs; nothing without `--json`. */
  result(value: object): void {
    if (this.isJson) this.#stdout.write(`${JSON.stringify(value)}\n`)
  }

  get #target(): OutputStream {
    return this.isJson ? this.#stderr : this.#stdout
  }

  #colorsFor(stream: OutputStream): Colors {
    const isWanted = (this.#env['NO_COLOR'] ?? '') === '' && this.#env['TERM'] !== 'dumb'
    return pc.createColors(stream.isTTY === true && isWanted)
  }
}
