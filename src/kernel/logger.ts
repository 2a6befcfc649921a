/** The part of a pino logger that Waybill uses: any logger with these four methods will do. */
export interface Logger {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
  error(fields: Readonly<Record<string, unknown>>, message: string): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

const order: Record<LogLevel, number> = { debug: 20, info: 30, warn: 40, error: 50, silent: 100 }

/** One JSON object a line on stderr; stdout belongs to the program. Payloads and headers are never logged (S16). */
export function jsonLogger(level: LogLevel = 'info', write: (line: string) => void = writeStderr): Logger {
  const at =
    (own: LogLevel) =>
    (fields: Readonly<Record<string, unknown>>, message: string): void => {
      if (order[own] < order[level]) return
      write(
        JSON.stringify({ level: own, time: new Date().toISOString(), ...fields, msg: message }, stringify) +
          '\n',
      )
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

let isGuarded = false

/** A disk that is full, or a reader that has gone, costs the lines and not the service: an error nobody listens to would end it. */
function writeStderr(line: string): void {
  if (!isGuarded) process.stderr.on('error', () => {})
  isGuarded = true
  process.stderr.write(line)
}

function stringify(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
