import { InvalidArgumentError, type Command } from 'commander'

/** Ends with a usage error. Not an argument parser: that would repeat what was given, and the URL may hold a password. */
export function checkDatabaseUrl(url: string | undefined, command: Command): void {
  if (url === undefined || isDatabaseUrl(url)) return
  command.error('error: --database-url takes a URL such as postgres://user@host:5432/database')
}

export function parseSeed(text: string): number {
  const seed = Number(text)
  if (!/^\d+$/u.test(text) || seed > 2 ** 31)
    throw new InvalidArgumentError('It takes a whole number up to 2147483648.')
  return seed
}

export function parseBrokers(text: string): readonly string[] {
  const brokers = text.split(',').map((one) => one.trim())
  if (!brokers.every((one) => /^(?:\[[\da-f:]+\]|[\w.-]+):\d{1,5}$/iu.test(one))) {
    throw new InvalidArgumentError('It takes host:port, several with commas between them.')
  }
  return brokers
}

function isDatabaseUrl(text: string): boolean {
  return URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol)
}
