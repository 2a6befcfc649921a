import { expect, test } from 'vitest'
import { findJavaAndMaven } from './kafka-jars.ts'

test('where Java is missing, the packages to install are named', () => {
  const tools = findJavaAndMaven('/nowhere')
  expect(tools.isAvailable).toBe(false)
  expect(tools.hint).toMatch(/^apt-get install -y .*default-jre-headless/u)
})
