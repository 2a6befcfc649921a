/** What the names of channels and consumers are made of: file names, topics and groups of every broker take them. */
export const nameRule = 'a name of 1 to 200 letters, digits, dots, underscores and hyphens, and not . or ..'

export function isName(name: string): boolean {
  return /^[A-Za-z0-9._-]{1,200}$/u.test(name) && name !== '.' && name !== '..'
}
