import { MindCore } from '../../src/relay/mind/core.ts'
import type { Coverage } from './coverage.ts'
import type { World } from './world.ts'

/** Counts what only the mind's inside can tell. Returns what takes the spies away again. */
export function spy(coverage: Coverage): () => void {
  const { accept, close, reopen, drop } = MindCore.prototype
  MindCore.prototype.accept = function (row, partition, read) {
    if (partition.entries.get(row)?.state === 'settled') coverage.saw('older read brought a settled row')
    return accept.call(this, row, partition, read)
  }
  MindCore.prototype.close = function (key, lowest, waitsFor) {
    coverage.saw(waitsFor === 'queue' ? 'key closed by memory' : 'key closed by a failed head')
    close.call(this, key, lowest, waitsFor)
  }
  MindCore.prototype.reopen = function (key, rereads) {
    if (rereads) coverage.saw('key opened by a read below its floor')
    reopen.call(this, key, rereads)
  }
  MindCore.prototype.drop = function (entry) {
    if (entry.doubt.times > 0) coverage.saw('doubt')
    if (entry.channel.heldUntil !== null) coverage.saw('rows dropped by a hold')
    drop.call(this, entry)
  }
  return () => Object.assign(MindCore.prototype, { accept, close, reopen, drop })
}

export function countOf(world: World, coverage: Coverage): void {
  for (const relay of world.relays) {
    for (const counters of [...relay.past, relay.mind.counters]) {
      coverage.saw('late row', counters.lateRows)
      coverage.saw('rewind', counters.rewinds)
      coverage.saw('start over', counters.serverChanges)
      coverage.saw('late confirm', counters.lateConfirms)
    }
  }
}
