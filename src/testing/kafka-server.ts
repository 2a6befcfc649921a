import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { WaybillError } from '../kernel/errors.ts'
import { kafkaClasspath } from './kafka-jars.ts'
import { askMetadata, askToCreateTopic } from './kafka-wire.ts'
import { keep, type KeptProcess } from './keeper.ts'
import { logTail } from './log-tail.ts'
import { freePort, waitForFreePort } from './ports.ts'
import { killTree, pauseTree, resumeTree, signal } from './process-tree.ts'
import { until } from './until.ts'

export interface StartKafkaOptions {
  /** Broker settings, over those of the test server. */
  readonly settings?: Readonly<Record<string, string>>
  /** @default a free one */
  readonly port?: number
  /**
   * More ways in: each a port of the broker and the one its clients are told, of a proxy before it. A broker sends its clients on to
   * where it says it is, so a proxy alone would be left at once.
   * @default none
   */
  readonly ways?: readonly { readonly port: number; readonly advertisedPort: number }[]
  /** Gives the start up and removes what it left. */
  readonly signal?: AbortSignal
}

/** A Kafka broker of one's own (KRaft, one node) on a loopback port, with its log in its own temporary folder. */
export interface KafkaServer extends AsyncDisposable {
  readonly brokers: string[]
  readonly port: number
  /** Class path of Java's own console tools, for `java -cp … org.apache.kafka.tools.consumer.ConsoleConsumer`. */
  readonly classpath: string
  pid(): number
  /** Resolves when every partition has a leader. A topic of that name that exists already is left as it is. */
  createTopic(name: string, partitions: number): Promise<void>
  /** SIGKILL; resolves when the process is gone. The log stays. */
  kill(): Promise<void>
  /** SIGTERM: the broker hands over and writes everything; resolves when it is gone. The log stays. */
  shutDown(): Promise<void>
  /** SIGSTOP; resolves when it stands still. */
  pause(): Promise<void>
  /** SIGCONT. */
  resume(): void
  /** Starts again on its own log, after SIGKILL where it still runs, and resolves when it answers as a broker. */
  restart(): Promise<void>
  /** Ends the broker and removes its log. */
  stop(): Promise<void>
}

function brokerSettings(
  folder: string,
  port: number,
  controllerPort: number,
  ways: NonNullable<StartKafkaOptions['ways']>,
): Readonly<Record<string, string>> {
  const listeners = (portOf: (way: (typeof ways)[number]) => number): string =>
    ways.map((way, i) => `,WAY${i}://127.0.0.1:${portOf(way)}`).join('')
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${listeners((way) => way.port)}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}${listeners((way) => way.advertisedPort)}`,
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT${ways.map((_, i) => `,WAY${i}:PLAINTEXT`).join('')}`,
    'log.dirs': join(folder, 'data'),
    // As on a production broker: a topic that nobody made is an error, not a surprise.
    'auto.create.topics.enable': 'false',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    // The controller waits for the old session of a killed broker to end before it lets it back in: 9 s by default.
    'broker.session.timeout.ms': '1500',
    // So that a group in a test need not wait six seconds for a member that was killed.
    'group.min.session.timeout.ms': '500',
    // Nor five for its share: with the `consumer` protocol a member learns of it at its next heartbeat.
    'group.consumer.min.heartbeat.interval.ms': '100',
    'group.consumer.heartbeat.interval.ms': '200',
    'broker.heartbeat.interval.ms': '300',
  }
}

const javaFlags = ['-Xms128m', '-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** An empty log folder, for the brokers after this one: to make one takes a JVM of its own. Where the cache is not ours to write each makes its own. */
function keepFormatted(data: string, formatted: string): void {
  try {
    const copy = mkdtempSync(`${formatted}-`)
    cpSync(data, copy, { recursive: true })
    // Of two that do so at once one wins.
    if (existsSync(formatted)) rmSync(copy, { recursive: true })
    else renameSync(copy, formatted)
  } catch {
    // The next broker formats its own.
  }
}

/**
 * Starts a real Kafka broker from jars that Maven fetches once. It cannot outlive this process.
 *
 * Throws `WB_PEER_MISSING` where Java or Maven is missing, `WB_BROKER_UNREACHABLE` with the end of its log where it does not
 * start.
 */
export async function startKafka(options: StartKafkaOptions = {}): Promise<KafkaServer> {
  const abortable = options.signal === undefined ? {} : { signal: options.signal }
  const classpath = await kafkaClasspath(options.signal)
  const folder = mkdtempSync(join(tmpdir(), 'waybill-kafka-'))
  const properties = join(folder, 'server.properties')
  const port = options.port ?? (await freePort())
  const controllerPort = await freePort()
  let server: KeptProcess | undefined

  const launch = (main: string, args: readonly string[]): Promise<KeptProcess> => {
    const java = [
      ...javaFlags,
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
      '-cp',
      classpath,
      main,
      ...args,
    ]
    return keep({ command: 'java', args: java, folder, endSignal: 'KILL' })
  }
  const failed = (what: string): WaybillError =>
    new WaybillError('WB_BROKER_UNREACHABLE', `${what} The end of its log:\n${logTail(folder)}`)

  const start = async (): Promise<void> => {
    await waitForFreePort(port, abortable)
    await waitForFreePort(controllerPort, abortable)
    const before = server
    const next = await launch('kafka.Kafka', [properties])
    server = next
    // Only now: until then the old keeper guards the folder.
    before?.release()
    const ready = async (): Promise<boolean> => {
      if (next.exitCode() !== undefined) throw failed(`Kafka on port ${port} ended at its start.`)
      // Fenced brokers are not in the answer: who sees itself there has been let in by the controller.
      return askMetadata(port).then(
        ({ brokers }) => brokers > 0,
        () => false,
      )
    }
    const timing = { timeoutMs: 60_000, everyMs: 50, ...abortable }
    await until(`a Kafka broker that answers on port ${port}`, ready, timing)
  }

  const kill = async (): Promise<void> => {
    if (server === undefined || server.exitCode() !== undefined) return
    await killTree(server.pid)
    await server.waitForExit()
  }

  const shutDown = async (): Promise<void> => {
    if (server === undefined || server.exitCode() !== undefined) return
    signal(server.pid, 'SIGTERM')
    await server.waitForExit(60_000)
  }

  // No orderly shutdown: it takes seconds, and the log goes anyway.
  const stop = async (): Promise<void> => {
    await kill()
    server?.release()
    server = undefined
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  const running = (): KeptProcess => {
    if (server === undefined) throw new WaybillError('WB_NOT_RUNNING', `Kafka on port ${port} was stopped.`)
    return server
  }

  try {
    mkdirSync(join(folder, 'data'))
    const settings = {
      ...brokerSettings(folder, port, controllerPort, options.ways ?? []),
      ...options.settings,
    }
    writeFileSync(
      properties,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const data = join(folder, 'data')
    const formatted = `${dirname(classpath)}-formatted`
    if (existsSync(formatted)) cpSync(formatted, data, { recursive: true })
    else {
      const clusterId = Buffer.from('waybill-testing!').toString('base64url')
      server = await launch('kafka.tools.StorageTool', ['format', '-t', clusterId, '-c', properties])
      if ((await server.waitForExit(60_000)) !== 0)
        throw failed('The log folder of Kafka could not be formatted.')
      keepFormatted(data, formatted)
    }
    await start()
    return {
      brokers: [`127.0.0.1:${port}`],
      port,
      classpath,
      pid: () => running().pid,
      createTopic: async (name, partitions) => {
        await askToCreateTopic(port, name, partitions)
        // A send to a topic without leaders can be lost in silence (acks=0), or fail.
        await until(`leaders of topic ${name}`, async () => {
          const { leaders } = await askMetadata(port, name)
          return leaders !== undefined && leaders.every((leader) => leader >= 0)
        })
      },
      kill,
      shutDown,
      pause: () => pauseTree(running().pid),
      resume: () => {
        resumeTree(running().pid)
      },
      restart: async () => {
        running()
        await kill()
        await start()
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
