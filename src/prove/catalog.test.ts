import { expect, test } from 'vitest'
import { catalogOf, type MissingFault, type Targets } from './catalog.ts'

const theirs = {
  company: { states: [{ name: 'consumer-1' }], process: () => ({}) },
  clocks: new Map(),
  server: null,
  disk: { missing: 'the disk is yours' },
  database: 'postgres://db.example/shop',
  kafka: null,
  links: [{ name: 'writer-postgres', to: 'postgres', proxy: {} }],
  sessions: '',
  leaseMs: 2000,
  chance: () => 0,
}

function missingOf(more: object): readonly MissingFault[] {
  return catalogOf({ ...theirs, ...more } as unknown as Targets).missing
}

test('what of servers that were not started for the run cannot be done to them is told', () => {
  expect(missingOf({}).map((one) => one.class)).toEqual(['server', 'disk'])
  expect(missingOf({ kafka: { server: null } }).map(({ name }) => name)).toEqual([
    'postgres as a server',
    'kafka as a server',
    'the network of kafka',
    'disk full',
  ])
  expect(missingOf({ server: {}, disk: {} })).toEqual([])
})

test('so are brokers before which no proxy can stand', () => {
  const kafka = { server: null }
  const links = [...theirs.links, { name: 'relays-kafka', to: 'kafka', proxy: {} }]
  const names = (more: object): readonly string[] => missingOf({ kafka, ...more }).map(({ name }) => name)
  expect(names({})).toContain('the network of kafka')
  expect(names({ links })).not.toContain('the network of kafka')
})

test('so is a database before which no proxy can stand', () => {
  expect(missingOf({ links: [] })).toContainEqual(
    expect.objectContaining({ class: 'network', missing: expect.stringContaining('no proxy') }),
  )
})
