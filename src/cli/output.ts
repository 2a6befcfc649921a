import pc from 'picocolors'

export type Colors = ReturnType<typeof pc.createColors>

export interface OutputStream {
  readonly isTTY?: boolean
  write(text: string): unknown
}

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
    this.colors = this.#colorsFor(isJson ? stderr : stdout)
    this.errorColors = this.#colorsFor(stderr)
  }

  /** Whether a view that is painted anew can be shown on stderr. */
  get isLive(): boolean {
    return this.#stderr.isTTY === true && this.#env['TERM'] !== 'dumb'
  }

  /** The result for people. */
  say(text: string): void {
    const stream = this.isJson ? this.#stderr : this.#stdout
    stream.write(`${text}\n`)
  }

  /** What is going on meanwhile. */
  note(text: string): void {
    this.#stderr.write(`${text}\n`)
  }

  /** The result for programs; nothing without `--json`. */
  result(value: object): void {
    if (this.isJson) this.#stdout.write(`${JSON.stringify(value)}\n`)
  }

  #colorsFor(stream: OutputStream): Colors {
    const isWanted = (this.#env['NO_COLOR'] ?? '') === '' && this.#env['TERM'] !== 'dumb'
    return pc.createColors(stream.isTTY === true && isWanted)
  }
}
