import { closeSync, openSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HistoryEvent } from '../testing.ts'

/** Lines in one write: as one text, those of some hours would be longer than a string can be. */
const written = 10_000

/** Keeps what `mergedHistory` answers as lines of JSON, where it outlives the run. Returns the path. */
export function keepHistory(runId: string, events: readonly HistoryEvent[]): string {
  return keep(
    `${runId}.ndjson`,
    events.map((event) => JSON.stringify(event)),
  )
}

/**
 * Keeps what each process said, beside the history: its name, the number of the line, and the line, without the run's secrets. Returns
 * the path.
 */
export function keepSaid(
  runId: string,
  said: Readonly<Record<string, readonly string[]>>,
  secrets: readonly string[],
): string {
  const clean = (line: string): string =>
    secrets.reduce((text, secret) => text.replaceAll(secret, '[secret]'), line)
  return keep(
    `${runId}.log`,
    Object.entries(said).flatMap(([process, lines]) =>
      lines.map((line, at) => `${process} ${at + 1} ${clean(line)}`),
    ),
  )
}

/** Readable for its owner alone: it tells keys and times of somebody's messages. */
function keep(name: string, lines: readonly string[]): string {
  const path = join(tmpdir(), name)
  const file = openSync(path, 'w', 0o600)
  try {
    for (let from = 0; from < lines.length; from += written)
      writeFileSync(file, `${lines.slice(from, from + written).join('\n')}\n`)
  } finally {
    closeSync(file)
  }
  return path
}
