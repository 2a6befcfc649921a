/** `npm run test:full`: everything, in its own time. `npm test` has twelve minutes on two cores. */
export const isFull: boolean = process.env['WAYBILL_TEST_FULL'] !== undefined
