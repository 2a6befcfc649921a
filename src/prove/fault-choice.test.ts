import { expect, test } from 'vitest'
import { faultClasses } from './catalog.ts'
import { checkChoices, classesOf, isChosen, isFaultChoice } from './fault-choice.ts'

const slices = { name: 'slices relays-kafka', class: 'network' } as const
const cut = { name: 'cut relays-kafka', class: 'network' } as const
const killServer = { name: 'kill postgres', class: 'server' } as const

test('a fault is chosen by its class, its kind or its name', () => {
  expect(faultClasses.every((one) => isFaultChoice(one))).toBe(true)
  for (const choice of ['network', 'slices', 'slices relays-kafka']) {
    expect(isFaultChoice(choice), choice).toBe(true)
    expect(isChosen(['disk', choice], slices), choice).toBe(true)
  }
  expect(isChosen(['network'], cut)).toBe(true)
  expect(isChosen(['slices', 'slices relays-kafka'], cut)).toBe(false)
  // That class has processes alone.
  expect(isChosen(['kill'], killServer)).toBe(false)
  expect(isChosen(['kill postgres'], killServer)).toBe(true)
  expect(isChosen(['kill relay-1'], killServer)).toBe(false)
  for (const choice of ['slice', 'relays-kafka', 'slicesrelays', 'constructor'])
    expect(isFaultChoice(choice), choice).toBe(false)
})

test('what a run needs for it is known by its kind', () => {
  expect([...classesOf(['clock +3600s writer', 'disk full postgres', 'cut'])]).toEqual([
    'clock',
    'disk',
    'network',
  ])
})

test('one that this run does not have is refused, with those it has', () => {
  expect(() => {
    checkChoices(['network', 'kill', 'cut relays-kafka'], [cut, killServer])
  }).not.toThrow()
  expect(() => {
    checkChoices(['cut', 'slices relays-kafka'], [cut, killServer])
  }).toThrow(
    expect.objectContaining({
      code: 'WB_INVALID_OPTION',
      message: '"slices relays-kafka" is no fault of this run. There are: cut relays-kafka, kill postgres.',
    }),
  )
})
