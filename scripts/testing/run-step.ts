import { spawn } from 'node:child_process'
import { root } from '../root.ts'
import type { Step } from './steps.ts'

export interface StepResult {
  readonly name: string
  readonly ok: boolean
  readonly seconds: number
  readonly budget: number
}

/** Runs a step, its output line by line as it comes. */
export async function runStep(step: Step, env: Readonly<Record<string, string>>): Promise<StepResult> {
  console.log(`\n── ${step.name}`)
  const start = performance.now()
  const ok = await run(step.script, env)
  const seconds = (performance.now() - start) / 1000
  console.log(`── ${step.name}: ${ok ? 'ok' : 'FAILED'}, ${seconds.toFixed(1)} s of ${step.budget} s`)
  return { name: step.name, ok, seconds, budget: step.budget }
}

function run(script: string, env: Readonly<Record<string, string>>): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--run', script], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.once('error', (error) => {
      console.error(`${script} could not be started: ${error.message}`)
      resolve(false)
    })
    child.once('close', (code) => resolve(code === 0))
  })
}
