import { errorMeanings } from '../../src/kernel/error-meanings.ts'
import { errorCodes } from '../../src/kernel/errors.ts'

/** docs/errors.md, from the closed list of codes. */
export function errorsPage(): string {
  const rows = errorCodes.map((code) => {
    const { means, remedy } = errorMeanings[code]
    return `| \`${code}\` | ${means} | ${remedy} |`
  })
  return `${introduction}
| code | what it means | what to do |
|---|---|---|
${rows.join('\n')}
`
}

const introduction = `<!-- Written by "npm run docs" from src/kernel/error-meanings.ts: change it there. -->

# Errors

Everything Waybill throws is a \`WaybillError\`; \`isWaybillError(value)\` tells one, also one of another copy of the package. Its
\`code\` is one of this list, which is closed, and codes are stable; messages are not. \`retryable\` says whether the same call can help
when it is made again: \`yes\`, \`no\`, or \`unknown\` where it may have had its effect already. No message holds a payload, a password
or a connection string.
`
