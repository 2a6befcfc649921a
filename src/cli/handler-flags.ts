import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { InvalidArgumentError } from 'commander'
import { describeError, WaybillError } from '../kernel/errors.ts'
import { ownedFolder } from '../testing/owned-folder.ts'

/** What commands that run handlers of the user's take alike. */

export function parseNames(given: string): readonly string[] {
  const names = given.split(',').map((name) => name.trim())
  if (names.some((name) => name === ''))
    throw new InvalidArgumentError('It takes names with commas between them.')
  return [...new Set(names)]
}

export function parseCount(given: string): number {
  const count = Number(given)
  if (!/^\d{1,9}$/u.test(given) || count < 1)
    throw new InvalidArgumentError('It takes a whole number, 1 or more.')
  return count
}

/** What --messages names, or stdin has. Throws `WB_INVALID_OPTION`. */
export async function readMessagesText(file: string): Promise<string> {
  if (file === '-') return await text(process.stdin)
  try {
    return readFileSync(resolve(file), 'utf8')
  } catch (error) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `--messages ${file} cannot be read (${describeError(error).code}).`,
    )
  }
}

/** A file for other processes too, of what --messages names; gone when it is disposed of. `null`: nothing was named. */
export async function messagesFile(
  file: string | undefined,
): Promise<{ readonly path: string | null } & Disposable> {
  if (file === undefined) return { path: null, [Symbol.dispose]: () => {} }
  const given = await readMessagesText(file)
  if (file !== '-') return { path: resolve(file), [Symbol.dispose]: () => {} }
  const folder = ownedFolder('waybill-messages-')
  const path = join(folder.path, 'messages.ndjson')
  writeFileSync(path, given, { mode: 0o600 })
  return {
    path,
    [Symbol.dispose]: () => {
      folder[Symbol.dispose]()
    },
  }
}
