import { freemem } from 'node:os'
import { findSmallDisk, smallDisk, type SmallDisk } from '../testing.ts'
import type { Missing } from './catalog.ts'

/** What a server has before the first message, and what a second of messages adds to tables and log, in megabytes: twice what was seen. */
const needs = { atStart: 256, perSecond: 0.5 }

/** Of the memory that is free: a disk in memory that is filled takes all of its size. */
const mostOfMemory = 0.25

/** Settings with which a server's log stays small, so that what fills the disk is what fills the tables. */
export const smallDiskSettings: Readonly<Record<string, string>> = {
  min_wal_size: '32MB',
  max_wal_size: '64MB',
}

/** A disk to be filled under the database of a run that takes so long. */
export async function proofDisk(seconds: number): Promise<SmallDisk | Missing> {
  if (!findSmallDisk().isAllowed) return { missing: 'it takes Linux and root, to mount a disk in memory' }
  const megabytes = Math.ceil(needs.atStart + needs.perSecond * seconds)
  if (megabytes * 2 ** 20 > freemem() * mostOfMemory)
    return { missing: `a disk for so long a run takes ${megabytes} MB of memory, and that is too much here` }
  return await smallDisk(megabytes)
}
