import { describe, expect, it } from 'vitest'
import { checkGuarantee, guaranteeTerms } from './guarantees.ts'

describe('the guarantees', () => {
  it.each(['at-least-once', 'exactly-once'] as const)('%s is supported', (guarantee) => {
    expect(checkGuarantee(guarantee, 'orders')).toBe(guarantee)
  })

  it.each([
    ['at-most-once', 'at-least-once'],
    ['effectively-once', 'exactly-once'],
  ] as const)('%s is refused by name, with the nearest choice %s', (guarantee, nearest) => {
    const refusal = expect.objectContaining({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      message: expect.stringMatching(new RegExp(`"orders".*${guarantee}.*nearest choice is ${nearest}`, 'u')),
    })
    expect(() => checkGuarantee(guarantee, 'orders')).toThrow(refusal)
  })

  it('that is mistyped is told with what was meant', () => {
    const refusal = expect.objectContaining({
      code: 'WB_INVALID_OPTION',
      message: expect.stringContaining('Did you mean "exactly-once"?'),
    })
    expect(() => checkGuarantee('exactly-onse', 'orders')).toThrow(refusal)
    expect(() => checkGuarantee(undefined, 'orders')).toThrow(
      expect.objectContaining({ code: 'WB_INVALID_OPTION' }),
    )
  })

  it('each have a nearest choice that is supported', () => {
    for (const terms of Object.values(guaranteeTerms)) {
      expect(guaranteeTerms[terms.nearest].isSupported).toBe(true)
    }
    const supported = Object.entries(guaranteeTerms).filter(([, terms]) => terms.isSupported)
    expect(supported.map(([, terms]) => terms.nearest)).toEqual(supported.map(([name]) => name))
  })
})
