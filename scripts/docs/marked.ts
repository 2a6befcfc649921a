import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../root.ts'

const end = '<!-- End of what is written. -->'

/** The page with what stands between its two marks replaced: the rest of it is written by hand. */
export function markedPage(name: string, subject: string, section: string): string {
  const begin = `<!-- ${subject}: written by "npm run docs". -->`
  const text = readFileSync(join(root, name), 'utf8')
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from)
    throw new Error(`${name} has lost the marks of what is written: ${begin}, ${end}`)
  return `${text.slice(0, from)}${begin}\n\n${section}\n${text.slice(to)}`
}
