import { afterEach, describe, expect, it } from 'vitest'
import { startIdempotentApi, type IdempotentApi } from './idempotency-api.ts'

const apis: IdempotentApi[] = []
afterEach(async () => {
  for (const api of apis.splice(0)) await api.close()
})

async function start(...options: Parameters<typeof startIdempotentApi>): Promise<IdempotentApi> {
  const api = await startIdempotentApi(...options)
  apis.push(api)
  return api
}

async function charge(api: IdempotentApi, key: string | null, amount = 1): Promise<Response> {
  return await fetch(`${api.url}/charges`, {
    method: 'POST',
    body: JSON.stringify({ amount }),
    headers: key === null ? {} : { 'Idempotency-Key': key },
  })
}

describe('the idempotent API', () => {
  it('acts once on a key, and then repeats its answer', async () => {
    const api = await start()
    const first = await charge(api, 'a')
    expect([first.status, await first.json()]).toEqual([201, { number: 1 }])
    const second = await charge(api, 'a')
    expect([second.status, await second.json()]).toEqual([201, { number: 1 }])
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect(await (await charge(api, 'b')).json()).toEqual({ number: 2 })
    expect(api.calls.map(({ key, outcome }) => [key, outcome])).toEqual([
      ['a', 'acted'],
      ['a', 'replayed'],
      ['b', 'acted'],
    ])
  })

  it('acts and drops its answer, and finds a retry under the same key idempotent', async () => {
    const api = await start({ act: ({ target }) => ({ status: 200, body: JSON.stringify(target) }) })
    api.dropAnswers(1)
    await expect(charge(api, 'a')).rejects.toThrow('fetch failed')
    expect(await (await charge(api, 'a')).json()).toBe('POST /charges')
    expect(api.calls.map(({ outcome, isDropped }) => [outcome, isDropped])).toEqual([
      ['acted', true],
      ['replayed', false],
    ])
    expect(api.judge()).toEqual({ verdict: 'idempotent', faults: [] })
  })

  it('finds a retry under another key, which is acted on twice', async () => {
    const api = await start()
    api.dropAnswers(1)
    await expect(charge(api, 'a')).rejects.toThrow('fetch failed')
    await charge(api, 'b')
    expect(api.judge()).toEqual({
      verdict: 'not idempotent',
      faults: [
        'POST /charges, not answered under the key a, came again under another one: it was acted on twice',
      ],
    })
  })

  it('finds that what was not answered did not come again', async () => {
    const api = await start()
    api.dropAnswers(1)
    await expect(charge(api, 'a')).rejects.toThrow('fetch failed')
    expect(api.judge().faults).toEqual(['POST /charges, not answered under the key a, did not come again'])
  })

  it('refuses another body under a used key, and reports it without the body', async () => {
    const api = await start()
    await charge(api, 'a', 1)
    expect((await charge(api, 'a', 2)).status).toBe(422)
    const faults = ['POST /charges came with another body under the key a']
    expect(api.judge()).toEqual({ verdict: 'not idempotent', faults })
  })

  it('acts each time where there is no key, and reports it', async () => {
    const api = await start()
    await charge(api, null)
    expect(await (await charge(api, null)).json()).toEqual({ number: 2 })
    expect(api.judge().faults).toEqual(Array(2).fill('POST /charges came without an Idempotency-Key'))
  })

  it('says unknown where no answer was dropped: no retry was seen', async () => {
    const api = await start()
    expect(api.judge()).toEqual({ verdict: 'unknown', faults: [] })
    await charge(api, 'a')
    await charge(api, 'a')
    expect(api.judge().verdict).toBe('unknown')
  })

  it('can be closed twice', async () => {
    const api = await start()
    await api.close()
    await api.close()
    await expect(charge(api, 'a')).rejects.toThrow('fetch failed')
  })
})
