import type { Query } from './database.ts'

/** What the tables say when all is over. */
export interface Findings {
  readonly attempts: number
  /** Committed orders, as counted by the customers' counters: raised in the orders' own transactions. */
  readonly counted: number
  /** Committed orders that were looked at. */
  readonly orders: number
  /** Rows of `shipments`. */
  readonly shipments: number
  /** Committed orders without a shipment. */
  readonly lost: number
  /** Shipments of committed orders beyond the first. */
  readonly duplicated: number
  /** Shipments of orders that were never committed. */
  readonly ghosts: number
  /** Orders first shipped after a later order of their customer. */
  readonly outOfOrder: number
}

/** What has to be known of a run besides its tables, so that a verdict on it means something. */
export interface Conduct {
  readonly kills: number
  readonly isKilling: boolean
  /** Whether everything that was sent had been handled before the judge came. */
  readonly isDrained: boolean
}

export interface Judgement {
  readonly verdict: 'valid' | 'invalid'
  /** Why it is invalid; nothing where it is valid. */
  readonly reasons: readonly string[]
}

/** One statement, so one snapshot. The outer join looks at every order and at every shipment. */
export async function findFaults(query: Query, shop: string): Promise<Findings> {
  const [row] = await query(`
    with shipped as (
      select order_id, count(*) as copies, min(arrival) as first_arrival from ${shop}.shipments group by order_id
    ), joined as (
      select o.id, o.customer_id, o.number, s.copies, s.first_arrival
      from ${shop}.orders o full join shipped s on s.order_id = o.id
    ), ranked as (
      select *, max(number) over (partition by customer_id order by first_arrival
        rows between unbounded preceding and 1 preceding) as highest_before
      from joined where id is not null and copies > 0
    )
    select
      (select count(*) from ${shop}.attempts) as attempts,
      (select coalesce(sum(placed), 0) from ${shop}.customers) as counted,
      (select count(*) from joined where id is not null) as orders,
      (select count(*) from ${shop}.shipments) as shipments,
      (select count(*) from joined where id is not null and copies is null) as lost,
      (select coalesce(sum(copies - 1), 0) from joined where id is not null and copies > 1) as duplicated,
      (select coalesce(sum(copies), 0) from joined where id is null) as ghosts,
      (select count(*) from ranked where number < highest_before) as out_of_order`)
  const at = (name: string): number => Number(row?.[name])
  return {
    attempts: at('attempts'),
    counted: at('counted'),
    orders: at('orders'),
    shipments: at('shipments'),
    lost: at('lost'),
    duplicated: at('duplicated'),
    ghosts: at('ghosts'),
    outOfOrder: at('out_of_order'),
  }
}

/** Valid: nothing is wrong, in a run that would have shown it. */
export function judge(findings: Findings, conduct: Conduct): Judgement {
  const { attempts, counted, orders, shipments, lost, duplicated, ghosts, outOfOrder } = findings
  const reasons: string[] = []
  const say = (isWrong: boolean, reason: string): void => {
    if (isWrong) reasons.push(reason)
  }
  say(lost > 0, `${lost} committed orders were never shipped`)
  say(duplicated > 0, `${duplicated} shipments too many`)
  say(ghosts > 0, `${ghosts} shipments of orders that were rolled back`)
  say(outOfOrder > 0, `${outOfOrder} orders were shipped after a later order of their customer`)
  // From here on: a run that shows nothing, however clean it looks.
  say(orders === 0, 'no order was placed')
  say(attempts <= orders, 'no order was rolled back')
  say(conduct.isKilling && conduct.kills === 0, 'no process was killed')
  say(!conduct.isDrained, 'messages were still under way when the time for draining was over')
  say(
    orders !== counted,
    `${counted} orders were committed by their customers' counters, ${orders} were looked at`,
  )
  // Each shipment is the only one of its order, a copy or a ghost: a sum that fails has overlooked something.
  say(shipments !== orders - lost + duplicated + ghosts, 'the shipments do not add up')
  return { verdict: reasons.length === 0 ? 'valid' : 'invalid', reasons }
}
