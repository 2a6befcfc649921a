/**
 * `items` in at most `count` groups that may be worked through side by side: those of one key are in one group, in their order.
 */
export function keyGroups<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string | null,
  count: number,
): readonly (readonly Item[])[] {
  if (count <= 1) return [items]
  const groups: Item[][] = Array.from({ length: Math.min(count, items.length) }, () => [])
  const byKey = new Map<string, Item[]>()
  for (const item of items) {
    const key = keyOf(item)
    const own = key === null ? undefined : byKey.get(key)
    const group = own ?? groups.reduce((least, each) => (each.length < least.length ? each : least))
    if (key !== null) byKey.set(key, group)
    group.push(item)
  }
  return groups.filter((group) => group.length > 0)
}
