import type { Connection } from '../../../src/stores/postgres/connection.ts'

export interface Node {
  readonly 'Node Type': string
  readonly 'Actual Rows': number
  readonly 'Relation Name'?: string
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly Node[]
}

/** A statement as the store runs it, on a connection with the store's own settings, and what running it touched. */
export async function prepare(
  connection: Connection,
  name: string,
  text: string,
): Promise<(values: readonly unknown[]) => Promise<Node>> {
  const run = (sql: string): Promise<readonly { 'QUERY PLAN': readonly [{ Plan: Node }] }[]> =>
    connection.query({ text: sql }, 'explain')
  await run(`prepare ${name} as ${text}`)
  return async (values) => {
    const literals = values.map((value) =>
      value === null ? 'null' : Array.isArray(value) ? `'{${value.join(',')}}'` : `'${String(value)}'`,
    )
    const [row] = await run(`explain (analyze, buffers, format json) execute ${name}(${literals.join(', ')})`)
    return row!['QUERY PLAN'][0].Plan
  }
}

/** Tables that were read from end to end. */
export function fullPasses(node: Node): string[] {
  const own = node['Node Type'] === 'Seq Scan' ? [node['Relation Name']!] : []
  return [...own, ...(node.Plans ?? []).flatMap(fullPasses)]
}

export function blocks(node: Node): number {
  return node['Shared Hit Blocks'] + node['Shared Read Blocks']
}
