import { createHash, randomUUID } from 'node:crypto'
import type { Bell, News } from '../../ports/bell.ts'
import type { Connections } from './connections.ts'
import type { PgNotification } from './driver.ts'
import { named } from './statement.ts'

/**
 * The channel of NOTIFY for a transport: a digest, because both names together may be longer than the 63 bytes of an identifier, and
 * a name of only these letters needs no quoting that could be wrong (S10).
 */
export function bellChannel(schema: string, transport: string): string {
  return `waybill_${createHash('sha256').update(`${schema}\0${transport}`).digest('hex').slice(0, 32)}`
}

/** NOTIFY and LISTEN, each on a connection of its own that is made when first used. */
export function createBell(connections: Connections, schema: string): Bell {
  // What this process rings it has been told already, without a detour.
  const own = randomUUID()
  // It must not keep a process alive that has nothing else to do.
  const ringing = connections.open('notify', { keepsProcess: false })
  const notify = named(
    'notify',
    'select pg_notify(u.channel, u.payload) from unnest($1::text[], $2::text[]) u(channel, payload)',
  )
  return {
    async ring(news) {
      const channels = news.map(({ transport }) => bellChannel(schema, transport))
      const payloads = news.map(({ isCommitted }) => `${own} ${isCommitted ? committed : written}`)
      await ringing.query({ ...notify, values: [channels, payloads] }, 'wake relays of other processes')
    },
    listen(transports, hear) {
      // LISTEN belongs to a session, and would be some stranger's. What is rung arrives through a pooler all the same.
      if (connections.isShared) return null
      const byChannel = new Map(transports.map((transport) => [bellChannel(schema, transport), transport]))
      const onNotification = ({ channel, payload }: PgNotification): void => {
        const transport = byChannel.get(channel)
        const [sender, word] = (payload ?? '').split(' ')
        if (transport !== undefined && sender !== own) hear({ transport, isCommitted: word !== written })
      }
      const connection = connections.open('wake-ups', {
        setUp: [...byChannel.keys()].map((channel) => `listen "${channel}";`).join(' '),
        onNotification,
      })
      let session: number | undefined
      return {
        async check() {
          const query = { text: 'select pg_backend_pid() as session' }
          const [row] = await connection.query<{ session: number }>(query, 'listen for wake-ups')
          if (row!.session === session) return
          session = row!.session
          for (const transport of transports) hear({ transport, isCommitted: true } satisfies News)
        },
        close: () => connections.close(connection),
      }
    },
  }
}

/** Words of the payload. */
const committed = 'committed'
const written = 'written'
