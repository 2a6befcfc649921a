#!/usr/bin/env node
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 22)) {
  process.stderr.write(
    `waybill needs Node 22.22 or newer, and this is Node ${process.versions.node}. ` +
      'Install a newer Node, or run it in a project that has one: npm install --save-dev node@24\n',
  )
  process.exit(1)
}

const { enableCompileCache } = await import('node:module')
// Half of the time of a short command went into compiling it; Node keeps what it compiled in the system's folder for temporary files.
enableCompileCache()

const { existsSync } = await import('node:fs')
// A clone runs its sources, so that nothing built long ago answers for them; the published package holds only dist.
const sources = new URL('../src/cli/main.ts', import.meta.url)
const built = new URL('../dist/cli/main.js', import.meta.url)
await import((process.features.typescript && existsSync(sources) ? sources : built).href)
