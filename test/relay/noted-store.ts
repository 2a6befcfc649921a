import type { BlockedLine } from '../../src/ports/outbox.ts'
import type { StoreDefinition } from '../../src/ports/store.ts'
import type { HistoryRecorder } from '../../src/testing.ts'

type Noted = Pick<BlockedLine, 'partition' | 'id'> & { readonly epoch?: bigint }

export interface NotedOptions {
  readonly history: HistoryRecorder
  /** A flaw: lines are written as if under the epoch that came next. */
  readonly writesAhead: boolean
}

/** A store that notes which leases a relay gets, what it writes of rows, and how many of them that changes. */
export function notedStore<Handle>(
  store: StoreDefinition<Handle>,
  { history, writesAhead }: NotedOptions,
): StoreDefinition<Handle> {
  const noted = async <T>(
    f: 'mark' | 'ack',
    rows: readonly Noted[],
    write: () => Promise<T>,
    changedOf: (result: T, i: number) => boolean | undefined,
  ): Promise<T> => {
    const note = (
      row: Noted,
      rest: { readonly type: 'invoke' | 'ok' | 'info'; readonly value?: number },
    ): void =>
      history.note({
        ...{ f, key: String(row.partition), id: row.id, ...rest },
        ...(row.epoch === undefined ? {} : { epoch: Number(row.epoch) }),
      })
    for (const row of rows) note(row, { type: 'invoke' })
    const result = await write()
    rows.forEach((row, i) => {
      const isChanged = changedOf(result, i)
      // Of some of them nobody is told.
      note(row, isChanged === undefined ? { type: 'info' } : { type: 'ok', value: isChanged ? 1 : 0 })
    })
    return result
  }
  return {
    ...store,
    open: (context) => {
      const opened = store.open(context)
      const openOutbox: typeof opened.openOutbox = async (lane) => {
        const outbox = await opened.openOutbox(lane)
        return {
          ...outbox,
          remove: (rows) =>
            noted(
              'ack',
              rows,
              () => outbox.remove(rows),
              ({ removed }) => (removed === rows.length ? true : removed === 0 ? false : undefined),
            ),
          block: (lines) =>
            noted(
              'mark',
              lines,
              () =>
                outbox.block(
                  writesAhead ? lines.map((line) => ({ ...line, epoch: line.epoch + 1n })) : lines,
                ),
              (outcomes, i) => outcomes[i] === 'written',
            ),
        }
      }
      const openLeases: typeof opened.openLeases = async (lane) => {
        const leases = await opened.openLeases(lane)
        return {
          ...leases,
          async claim(most) {
            const gained = await leases.claim(most)
            for (const { partition, epoch } of gained)
              history.note({ type: 'ok', f: 'lease', key: String(partition), epoch: Number(epoch) })
            return gained
          },
        }
      }
      return { ...opened, openOutbox, openLeases }
    },
  }
}
