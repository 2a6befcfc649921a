import { startKafka } from '../testing/kafka-server.ts'
import { startPostgres } from '../testing/postgres-server.ts'
import { orAlternative } from './or-alternative.ts'

export interface ServerWishes {
  /** `undefined`: one of our own. */
  readonly databaseUrl: string | undefined
  readonly transport: 'local' | 'kafka'
  /** `undefined`: one of our own. */
  readonly brokers: readonly string[] | undefined
}

export interface DemoServers {
  readonly databaseUrl: string
  readonly brokers: readonly string[] | null
  /** How soon the broker may give the partitions of a killed consumer to the other one. */
  readonly sessionTimeoutMs: number
  /** Ends those that were started here, and removes their data. */
  stop(): Promise<void>
}

/** A broker takes no session shorter than its `group.min.session.timeout.ms`, 6 s where nobody has changed it. */
const sessionTimeoutMs = { ofOurs: 1500, ofTheirs: 6000 }

/** Starts what was not given. Where one of them cannot start, the other is stopped again. */
export async function startServers(wishes: ServerWishes, signal: AbortSignal): Promise<DemoServers> {
  const { databaseUrl, transport, brokers } = wishes
  const started: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.splice(0).map((end) => end()))
  }
  const database = async (): Promise<string> => {
    if (databaseUrl !== undefined) return databaseUrl
    // Without fsync: the data lives as long as the demo, which kills processes and not the machine.
    const server = await orAlternative(
      startPostgres({ signal, durable: false }),
      'Or let the demo use a database of yours: waybill demo --database-url postgres://host/database',
    )
    started.push(() => server.stop())
    return server.url
  }
  const broker = async (): Promise<readonly string[] | null> => {
    if (transport === 'local') return null
    if (brokers !== undefined) return brokers
    const server = await orAlternative(
      startKafka({
        signal,
        settings: { 'group.min.session.timeout.ms': String(sessionTimeoutMs.ofOurs) },
      }),
      'Or let the demo use a broker of yours: waybill demo --transport kafka --brokers host:9092',
    )
    started.push(() => server.stop())
    return server.brokers
  }
  const [first, second] = await Promise.allSettled([database(), broker()])
  if (first.status === 'fulfilled' && second.status === 'fulfilled') {
    return {
      databaseUrl: first.value,
      brokers: second.value,
      sessionTimeoutMs: brokers === undefined ? sessionTimeoutMs.ofOurs : sessionTimeoutMs.ofTheirs,
      stop,
    }
  }
  await stop()
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason
}
