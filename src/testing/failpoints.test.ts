import { expect, test, vi } from 'vitest'
import { failpoint } from '../kernel/failpoint.ts'
import { armFailpoint, armFailpoints, FailpointError } from './failpoints.ts'

test('the action happens at the hit it was armed for, once', () => {
  const action = vi.fn()
  using armed = armFailpoint('relay.after-send', action, 2)
  failpoint('relay.after-send')
  expect(action).not.toHaveBeenCalled()
  failpoint('relay.before-send')
  failpoint('relay.after-send')
  failpoint('relay.after-send')
  expect(action).toHaveBeenCalledTimes(1)
  expect(armed.hits()).toBe(3)
})

test('a disarmed point does nothing, and the others go on', () => {
  const first = armFailpoint('writer.after-begin', 'throw')
  using second = armFailpoint('writer.after-begin', () => {})
  first.disarm()
  failpoint('writer.after-begin')
  expect(first.hits()).toBe(0)
  expect(second.hits()).toBe(1)
})

test('throw throws the name of the point', () => {
  using _armed = armFailpoint('consumer.before-commit', 'throw')
  expect(() => failpoint('consumer.before-commit')).toThrow(FailpointError)
  expect(() => failpoint('consumer.before-commit')).not.toThrow()
})

test('kill and stop are signals to this very process, said on stderr first', () => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  try {
    using _kill = armFailpoint('relay.after-read', 'kill')
    using _stop = armFailpoint('relay.after-claim', 'stop')
    failpoint('relay.after-read')
    failpoint('relay.after-claim')
    expect(kill.mock.calls).toEqual([
      [process.pid, 'SIGKILL'],
      [process.pid, 'SIGSTOP'],
    ])
  } finally {
    kill.mockRestore()
  }
})

test('a text arms several points at once', () => {
  const armed = armFailpoints(' relay.after-send=throw@2 ; consumer.before-commit=throw;')
  expect(armed).toHaveLength(2)
  failpoint('relay.after-send')
  expect(() => failpoint('relay.after-send')).toThrow(FailpointError)
  expect(() => failpoint('consumer.before-commit')).toThrow(FailpointError)
  for (const one of armed) one.disarm()
})

test.each([
  ['relay.after-sent=kill', 'Did you mean "relay.after-send"?'],
  ['relay.after-send', 'kill, stop or throw'],
  ['relay.after-send=kil', 'Did you mean "kill"?'],
  ['relay.after-send=kill@0', 'at which hit'],
  ['relay.after-send=kill@often', 'at which hit'],
])('%s is refused with a hint, and arms nothing', (text, hint) => {
  expect(() => armFailpoints(`writer.after-begin=throw;${text}`)).toThrow(hint)
  expect(() => failpoint('writer.after-begin')).not.toThrow()
})
