import { randomBytes } from 'node:crypto'
import type { Missing } from '../prove/catalog.ts'
import { classesOf } from '../prove/fault-choice.ts'
import type { ProofOptions } from '../prove/run.ts'
import { proofDisk, smallDiskSettings } from '../prove/disk.ts'
import type { Service } from '../prove/service/service.ts'
import { type KafkaPlace, kafkaOfTheirs, startKafkaPlace } from '../prove/kafka-place.ts'
import { type PostgresServer, startPostgres } from '../testing/postgres-server.ts'
import type { SmallDisk } from '../testing/small-disk.ts'
import { orAlternative } from './or-alternative.ts'

export interface ProofServers {
  readonly databaseUrl: string
  /** Where it was started here. */
  readonly server: PostgresServer | null
  /** On which that one has its data. */
  readonly disk: SmallDisk | Missing
  readonly kafka: KafkaPlace | null
  /** Ends those that were started here, and removes their data. */
  readonly stop: () => Promise<void>
}

const theirDisk: Missing = { missing: 'the server is yours, and so is its disk' }

/** Those of a configuration, which says where they are. */
export function serversOfTheirs({
  isBrokered,
}: Service): Pick<ProofOptions, 'databaseUrl' | 'server' | 'disk' | 'kafka'> {
  return { databaseUrl: null, server: null, disk: theirDisk, kafka: isBrokered ? kafkaOfTheirs(null) : null }
}

/** Starts what was not given. Where one of them cannot start, the other is stopped again. */
export async function startProofServers(
  wishes: {
    readonly databaseUrl: string | undefined
    readonly transport: 'local' | 'kafka'
    readonly brokers: readonly string[] | undefined
    readonly faults: readonly string[]
    readonly seconds: number
  },
  signal: AbortSignal,
): Promise<ProofServers> {
  const { databaseUrl, transport, brokers, faults, seconds } = wishes
  const disk: SmallDisk | Missing =
    databaseUrl !== undefined
      ? theirDisk
      : classesOf(faults).has('disk')
        ? await proofDisk(seconds)
        : { missing: 'nobody asked for it' }
  const place = 'missing' in disk ? {} : { parent: disk.folder, settings: smallDiskSettings }
  const database = async (): Promise<PostgresServer | null> =>
    databaseUrl === undefined
      ? await orAlternative(
          startPostgres({ signal, ...place }),
          'Or prove it on a database of yours: waybill prove --database-url postgres://host/database',
        )
      : null
  const broker = async (): Promise<KafkaPlace | null> => {
    if (transport === 'local') return null
    if (brokers !== undefined) return kafkaOfTheirs(brokers)
    return await orAlternative(
      startKafkaPlace(signal),
      'Or prove it on a broker of yours: waybill prove --transport kafka --brokers host:9092',
    )
  }
  const [first, second] = await Promise.allSettled([database(), broker()])
  const server = first.status === 'fulfilled' ? first.value : null
  const kafka = second.status === 'fulfilled' ? second.value : null
  const stop = async (): Promise<void> => {
    try {
      await Promise.all([server?.stop(), kafka?.stop()])
    } finally {
      if (!('missing' in disk)) disk[Symbol.dispose]()
    }
  }
  if (first.status === 'fulfilled' && second.status === 'fulfilled')
    return { databaseUrl: databaseUrl ?? withPassword(server!.url), server, disk, kafka, stop }
  await stop()
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason
}

/** One that nobody asks for there: a word that is searched for in all that processes say, and that a log may hold by no chance. */
function withPassword(url: string): string {
  const whole = new URL(url)
  whole.password = `canary-${randomBytes(6).toString('hex')}`
  return whole.href
}
