import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { KeptRuns } from './kept-runs.ts'
import type { ProofRun } from './runs.ts'

const logs = { checker: 'clean logs', checked: 1, anomalies: [] }
const local: ProofRun = {
  transport: 'local',
  seed: 1,
  date: '2026-01-31',
  seconds: 60,
  tookSeconds: 66.4,
  verdict: 'valid',
  rows: [],
  logs,
  memory: [],
}

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kept-runs-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

test('a run takes the place of the last one over its transport with its seed, and of no other', () => {
  const folder = folderOf()
  const runs = new KeptRuns(folder)
  const kafka = { ...local, transport: 'kafka' } as const
  for (const run of [kafka, local, { ...local, seed: 2 }, { ...local, verdict: 'invalid' } as const])
    runs.keep(run)
  const asked = [local, kafka, { transport: 'kafka', seed: 2 }] as const
  expect(new KeptRuns(folder).of(asked)).toEqual([{ ...local, verdict: 'invalid' }, kafka])
})

test('one that cannot be read is no run that was not played', () => {
  const folder = folderOf()
  writeFileSync(join(folder, 'local-1.json'), '{')
  expect(() => new KeptRuns(folder).of([local])).toThrow(SyntaxError)
})
