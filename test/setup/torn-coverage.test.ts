import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { removeTornCoverage } from './torn-coverage.ts'

it('removes what a killed child left half written, and nothing else', () => {
  const folder = mkdtempSync(join(tmpdir(), 'torn-coverage-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'whole.json'), '{"result":[]}')
  writeFileSync(join(folder, 'torn.json'), '{"result":[{"url":"fi')
  writeFileSync(join(folder, 'empty.json'), '')
  writeFileSync(join(folder, 'notes.txt'), 'not ours')
  removeTornCoverage(folder)
  expect(readdirSync(folder).toSorted()).toEqual(['notes.txt', 'whole.json'])
})

// Under coverage the run itself is the proof: vitest stumbles over this file unless the set-up has removed it by then.
it('plants such a file where this run keeps its own', () => {
  const folder = process.env['NODE_V8_COVERAGE']
  if (folder === undefined || folder === '') return
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'torn.json'), '{"result":[{"url":"fi')
  expect(readdirSync(folder)).toContain('torn.json')
})
