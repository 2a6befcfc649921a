import { parseSync } from 'oxc-parser'

export interface Import {
  /** `null`: an `import()` of something that is only known at run time. */
  readonly specifier: string | null
  readonly line: number
}

/** Every way a TypeScript file names another: import, export from, `import()`, `import('…').Type`, `require`. */
export function importsOf(path: string, source: string): readonly Import[] {
  const { program, errors } = parseSync(path, source)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`)
  const found: Import[] = []
  const add = (specifier: unknown, start: number): void => {
    const line = source.slice(0, start).split('\n').length
    found.push({ specifier: typeof specifier === 'string' ? specifier : null, line })
  }
  walk(program, (node) => {
    switch (node['type']) {
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
        add(literal(node['source']), node['start'] as number)
        break
      case 'ExportNamedDeclaration':
        if (isNode(node['source'])) add(literal(node['source']), node['start'] as number)
        break
      case 'TSExternalModuleReference':
        add(literal(node['expression']), node['start'] as number)
        break
      case 'CallExpression':
        if (isRequire(node['callee'])) add(literal(firstOf(node['arguments'])), node['start'] as number)
        break
      default:
    }
  })
  return found
}

type Node = Readonly<Record<string, unknown>>

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit)
  } else if (isNode(value)) {
    visit(value)
    for (const child of Object.values(value)) walk(child, visit)
  }
}

function literal(node: unknown): unknown {
  if (!isNode(node)) return undefined
  if (node['type'] === 'Literal') return node['value']
  // `import(`x`)` names its module as plainly as a string does.
  if (node['type'] !== 'TemplateLiteral' || (node['expressions'] as unknown[]).length > 0) return undefined
  return (firstOf(node['quasis']) as { value: { cooked: string } }).value.cooked
}

function firstOf(list: unknown): unknown {
  return (list as readonly unknown[])[0]
}

/** `require(…)`, and `require.resolve` left alone: it loads nothing. */
function isRequire(callee: unknown): boolean {
  return isNode(callee) && callee['type'] === 'Identifier' && callee['name'] === 'require'
}
