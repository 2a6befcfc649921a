import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { IdempotencyVerdict } from './idempotency.ts'

/** One request, as it came. */
export interface ApiCall {
  /** Of the header `Idempotency-Key`; `null` where there was none. */
  readonly key: string | null
  /** `POST /charges` */
  readonly target: string
  readonly body: string
  /** `acted`: had its effect · `replayed`: the answer of before, without an effect · `refused`: another body under a used key */
  readonly outcome: 'acted' | 'replayed' | 'refused'
  /** The connection was closed in place of an answer. */
  readonly isDropped: boolean
}

export interface ApiAnswer {
  readonly status: number
  readonly body: string
}

export interface IdempotentApiOptions {
  /**
   * The effect of a call that is acted on.
   * @default 201 and `{"number": n}`, n from 1
   */
  readonly act?: (call: Pick<ApiCall, 'key' | 'target' | 'body'>) => ApiAnswer
}

export interface ApiJudgement {
  /** `unknown`: no answer was dropped and asked for again, so that nothing is known of retries. */
  readonly verdict: IdempotencyVerdict
  /** Name keys and targets, never bodies. */
  readonly faults: readonly string[]
}

/** An HTTP API as those are that take an `Idempotency-Key`: it acts once on each key and then repeats its answer. */
export interface IdempotentApi extends AsyncDisposable {
  /** `http://127.0.0.1:…`, without a slash at its end. */
  readonly url: string
  readonly calls: readonly ApiCall[]
  /** The next calls are acted on and not answered: the connection closes. */
  dropAnswers(count: number): void
  /**
   * Faults of the caller: a call without a key, which is acted on each time; another body under a key; a call that was not
   * answered and came again under another key, so that it was acted on twice, or did not come again.
   */
  judge(): ApiJudgement
  close(): Promise<void>
}

/** Starts such an API in this process, on a free port of the loopback interface. */
export async function startIdempotentApi(options: IdempotentApiOptions = {}): Promise<IdempotentApi> {
  const book = new CallBook(options)
  const server = createServer((request, response) => {
    // A request that breaks off was not acted on.
    answer(book, request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return {
    url: `http://127.0.0.1:${port}`,
    calls: book.calls,
    dropAnswers: (count) => {
      book.dropped += count
    },
    judge: () => judgeCalls(book.calls),
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function answer(book: CallBook, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await text(request)
  const given = request.headers['idempotency-key']
  const key = typeof given === 'string' && given !== '' ? given : null
  const { call, result } = book.take({ key, target: `${request.method} ${request.url}`, body })
  if (call.isDropped) {
    request.socket.destroy()
    return
  }
  response.writeHead(result.status, {
    'content-type': 'application/json',
    ...(call.outcome === 'replayed' ? { 'idempotency-replayed': 'true' } : {}),
  })
  response.end(result.body)
}

type Request = Pick<ApiCall, 'key' | 'target' | 'body'>

class CallBook {
  readonly calls: ApiCall[] = []
  /** Answers still to be dropped. */
  dropped = 0
  readonly #act: (request: Request) => ApiAnswer
  readonly #answers = new Map<string, { readonly request: Request; readonly result: ApiAnswer }>()
  #acted = 0

  constructor({ act }: IdempotentApiOptions) {
    this.#act = act ?? (() => ({ status: 201, body: JSON.stringify({ number: this.#acted }) }))
  }

  take(request: Request): { readonly call: ApiCall; readonly result: ApiAnswer } {
    const known = request.key === null ? undefined : this.#answers.get(request.key)
    const outcome = known === undefined ? 'acted' : isSame(known.request, request) ? 'replayed' : 'refused'
    const result = this.#resultOf(request, outcome, known?.result)
    const call = { ...request, outcome, isDropped: this.dropped > 0 } as const
    if (call.isDropped) this.dropped -= 1
    this.calls.push(call)
    return { call, result }
  }

  #resultOf(request: Request, outcome: ApiCall['outcome'], known: ApiAnswer | undefined): ApiAnswer {
    if (outcome === 'refused') return { status: 422, body: '{"error":"another request under this key"}' }
    if (known !== undefined) return known
    this.#acted += 1
    const result = this.#act(request)
    if (request.key !== null) this.#answers.set(request.key, { request, result })
    return result
  }
}

function judgeCalls(calls: readonly ApiCall[]): ApiJudgement {
  const faults: string[] = []
  let retries = 0
  for (const [index, call] of calls.entries()) {
    const { key, target, outcome, isDropped } = call
    if (key === null) faults.push(`${target} came without an Idempotency-Key`)
    if (outcome === 'refused') faults.push(`${target} came with another body under the key ${key}`)
    if (!isDropped || key === null) continue
    const later = calls.slice(index + 1)
    if (later.some((one) => one.key === key)) retries += 1
    else if (later.some((one) => isSame(one, call))) {
      faults.push(
        `${target}, not answered under the key ${key}, came again under another one: it was acted on twice`,
      )
    } else faults.push(`${target}, not answered under the key ${key}, did not come again`)
  }
  if (faults.length > 0) return { verdict: 'not idempotent', faults }
  return { verdict: retries > 0 ? 'idempotent' : 'unknown', faults }
}

function isSame(a: Request, b: Request): boolean {
  return a.target === b.target && a.body === b.body
}
