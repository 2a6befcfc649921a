import { connect } from 'node:net'
import { WaybillError } from '../kernel/errors.ts'

// Two requests of the Kafka protocol, by hand, in versions without tagged fields: the test server asks whether it is
// ready and makes topics, and needs neither a client library nor a second Java process of 2 s for that.
const metadataKey = 3
const metadataVersion = 4
const createTopicsKey = 19
const createTopicsVersion = 2

/** The broker's view of a topic's partitions, each with its leader or -1; `undefined` where there is no such topic. */
export interface ClusterView {
  readonly brokers: number
  readonly leaders: readonly number[] | undefined
}

/** Asks for the brokers that are up and, where `topic` is given, for its leaders. Rejects where nobody answers. */
export async function askMetadata(port: number, topic?: string): Promise<ClusterView> {
  const request = new Writer().int32(topic === undefined ? 0 : 1)
  if (topic !== undefined) request.string(topic)
  const answer = await ask(port, metadataKey, metadataVersion, request.int8(0))
  answer.int32() // throttle time
  const brokers = answer.int32()
  for (let i = 0; i < brokers; i++) {
    answer.int32() // node id
    answer.string() // host
    answer.int32() // port
    answer.string() // rack
  }
  answer.string() // cluster id
  answer.int32() // controller id
  if (answer.int32() === 0) return { brokers, leaders: undefined }
  const error = answer.int16()
  answer.string() // name
  answer.int8() // internal
  const leaders = answer.array(() => {
    answer.int16() // error code: a partition without a leader has leader -1 too
    answer.int32() // partition
    const leader = answer.int32()
    answer.array(() => answer.int32()) // replicas
    answer.array(() => answer.int32()) // in sync
    return leader
  })
  return { brokers, leaders: error === 0 ? leaders : undefined }
}

/** Makes a topic with one replica. A topic of that name that exists already is left as it is. */
export async function askToCreateTopic(port: number, name: string, partitions: number): Promise<void> {
  const request = new Writer()
    .int32(1)
    .string(name)
    .int32(partitions)
    .int16(1)
    .int32(0)
    .int32(0)
    .int32(10_000)
    .int8(0)
  const answer = await ask(port, createTopicsKey, createTopicsVersion, request)
  answer.int32() // throttle time
  answer.int32() // topics
  answer.string() // name
  const error = answer.int16()
  const reason = answer.string()
  const existsAlready = 36
  if (error !== 0 && error !== existsAlready) {
    throw new WaybillError(
      'WB_BROKER_UNREACHABLE',
      `Topic "${name}" was not made: ${reason ?? ''} (error ${error}).`,
    )
  }
}

async function ask(port: number, key: number, version: number, body: Writer): Promise<Reader> {
  const header = new Writer().int16(key).int16(version).int32(1).string('waybill-testing')
  const message = Buffer.concat([header.bytes(), body.bytes()])
  const socket = connect({ port, host: '127.0.0.1', timeout: 5000 })
  socket.once('timeout', () =>
    socket.destroy(new WaybillError('WB_TIMED_OUT', `Port ${port} did not answer in 5 s.`)),
  )
  socket.write(Buffer.concat([new Writer().int32(message.length).bytes(), message]))
  try {
    let received = Buffer.alloc(0)
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Buffer])
      if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0))
        return new Reader(received.subarray(8))
    }
  } finally {
    socket.destroy()
  }
  throw new WaybillError(
    'WB_BROKER_UNREACHABLE',
    `The broker on port ${port} closed the connection without an answer.`,
  )
}

class Writer {
  readonly #parts: Buffer[] = []

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  int8(value: number): this {
    return this.#add(1, (buffer) => buffer.writeInt8(value))
  }

  int16(value: number): this {
    return this.#add(2, (buffer) => buffer.writeInt16BE(value))
  }

  int32(value: number): this {
    return this.#add(4, (buffer) => buffer.writeInt32BE(value))
  }

  string(value: string): this {
    this.int16(Buffer.byteLength(value))
    this.#parts.push(Buffer.from(value))
    return this
  }

  #add(size: number, write: (buffer: Buffer) => void): this {
    const buffer = Buffer.alloc(size)
    write(buffer)
    this.#parts.push(buffer)
    return this
  }
}

class Reader {
  readonly #buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  int8(): number {
    return this.#buffer.readInt8(this.#skip(1))
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#skip(2))
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#skip(4))
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    const from = this.#skip(length)
    return this.#buffer.toString('utf8', from, from + length)
  }

  array<T>(read: () => T): readonly T[] {
    return Array.from({ length: Math.max(this.int32(), 0) }, read)
  }

  #skip(size: number): number {
    this.#at += size
    return this.#at - size
  }
}
