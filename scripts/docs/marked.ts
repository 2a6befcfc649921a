import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../root.ts'

const end = '<!-- End of what is written. -->'

/** The page with what stands between two of its marks replaced: the rest of it is written by hand, or by another command. */
export function markedPage(
  name: string,
  subject: string,
  section: string,
  text: string = readFileSync(join(root, name), 'utf8'),
  command = 'npm run docs',
): string {
  const begin = `<!-- ${subject}: written by "${command}". -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from < 0 || to < from)
    throw new Error(`${name} has lost the marks of what is written: ${begin}, ${end}`)
  return `${text.slice(0, from)}${begin}\n\n${section}\n${text.slice(to)}`
}
