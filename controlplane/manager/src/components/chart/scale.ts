// Scales of charts.

/** The smallest of 1, 2, 2.5, 5 times a power of ten that is not below n. */
export function roundUp(n: number): number {
  if (n <= 0) {
    return 1
  }
  const power = 10 ** Math.floor(Math.log10(n))
  const step = [1, 2, 2.5, 5, 10].find((s) => n <= s * power * 1.0000001) ?? 10
  return step * power
}

/** Up to four even steps from 0 to what holds most. */
export function ticks(most: number): number[] {
  const top = roundUp(most)
  const n = [4, 5].find((parts) => Number.isInteger(Number((top / parts / 10 ** Math.floor(Math.log10(top) - 1)).toPrecision(6)))) ?? 4
  return Array.from({ length: n + 1 }, (_, i) => top * i / n)
}

/** The heights of series that lie on each other: the sums up to each of them. */
export function stacked(series: Array<Array<number | null>>): number[][] {
  const sums: number[][] = []
  series.forEach((values, i) => {
    sums.push(values.map((v, at) => (v ?? 0) + (i > 0 ? sums[i - 1]![at]! : 0)))
  })
  return sums
}
