import { expect, onTestFinished, test } from 'vitest'
import { listeningPlaceOf } from './instance.ts'
import { Links } from './links.ts'

const certified = 'postgres://me@db.example:6543/shop?sslmode=verify-full'
const plain = 'postgres://me@127.0.0.1:6543/shop'

async function linksTo(databaseUrl: string): Promise<Links> {
  const links = await Links.open({ databaseUrl, listensAt: listeningPlaceOf(databaseUrl) }, null)
  onTestFinished(() => links.stop())
  return links
}

test('every party has a way of its own to the database', async () => {
  const links = await linksTo(plain)
  expect(links.all.map(({ name }) => name)).toEqual(['writer-postgres', 'consumers-postgres'])
  const [writer, consumers] = (['writer', 'consumers'] as const).map(
    (party) => new URL(links.of(party).databaseUrl!),
  )
  expect(writer!.pathname).toBe('/shop')
  expect(new Set([writer!.port, consumers!.port, '6543']).size).toBe(3)
})

test.each([
  certified,
  'postgres://me@/shop?host=/var/run/postgresql',
  'postgres://me@db.example/shop?sslmode=require',
])('where no proxy is taken for the database they go to it directly: %s', async (url) => {
  const links = await linksTo(url)
  expect(links.all).toEqual([])
  expect(links.of('writer')).toEqual({ databaseUrl: url, storeWay: null, brokers: null })
})
