import { freePort, type KafkaServer, type Proxy, startKafka, startProxy } from '../testing.ts'

/** The brokers of a run. */
export interface KafkaPlace {
  /** Past all proxies. `null`: as the user's configuration says, which may name several Kafkas. */
  readonly brokers: readonly string[] | null
  /** Where it was started for the run, and may be killed. */
  readonly server: KafkaServer | null
  /**
   * The ways of relays and of consumers, each through a proxy of its own. `null` at brokers that somebody else runs: those send every
   * client on to the addresses they were told to give, past any proxy.
   */
  readonly links: Readonly<Record<'relays' | 'consumers', Proxy>> | null
  /** A broker takes no shorter one than its `group.min.session.timeout.ms`. */
  readonly sessionTimeoutMs: number
  stop(): Promise<void>
}

/** The least that a broker takes where nobody has changed it. */
export const theirSessionTimeoutMs = 6000

export function kafkaOfTheirs(brokers: KafkaPlace['brokers']): KafkaPlace {
  return { brokers, server: null, links: null, sessionTimeoutMs: theirSessionTimeoutMs, stop: async () => {} }
}

/** Starts a broker with a way in for each kind of process, so that each can be cut off alone. */
export async function startKafkaPlace(signal: AbortSignal): Promise<KafkaPlace> {
  const ports = { relays: await freePort(), consumers: await freePort() }
  const relays = await startProxy({ port: ports.relays })
  const consumers = await startProxy({ port: ports.consumers })
  const stopLinks = async (): Promise<void> => {
    await Promise.all([relays.stop(), consumers.stop()])
  }
  try {
    const server = await startKafka({
      signal,
      ways: [
        { port: ports.relays, advertisedPort: relays.port },
        { port: ports.consumers, advertisedPort: consumers.port },
      ],
    })
    return {
      brokers: server.brokers,
      server,
      links: { relays, consumers },
      sessionTimeoutMs: 1500,
      stop: async () => {
        await server.stop()
        await stopLinks()
      },
    }
  } catch (error) {
    await stopLinks()
    throw error
  }
}
