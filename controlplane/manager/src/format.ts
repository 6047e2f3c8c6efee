// How figures are written.

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

/** A count, such as 12,345, or 1.2M where there is little room. */
export const count = (n: number, narrow = false): string => (narrow ? short : whole).format(n)

/** A rate or other number with about three digits. */
export function number(n: number): string {
  if (n === 0) {
    return '0'
  }
  return n >= 1000 ? short.format(n) : n.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** A share of 1 in per cent. */
export const percent = (share: number): string => `${(100 * share).toLocaleString('en', { maximumFractionDigits: share > 0 && share < 0.01 ? 2 : 1 })} %`

/** Milliseconds, in the unit that fits. */
export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) {
    return '–'
  }
  if (ms < 1) {
    return `${Math.round(ms * 1000)} µs`
  }
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`
}

/** A number of bytes. */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let i = 0
  for (; n >= 1024 && i < units.length - 1; i++) {
    n /= 1024
  }
  return `${number(n)} ${units[i]}`
}

/** How long ago, or until when, in words; seconds since 1970. */
export function relative(seconds: number | null | undefined, now = Date.now() / 1000): string {
  if (!seconds) {
    return 'never'
  }
  const past = now - seconds
  const size = Math.abs(past)
  const steps: Array<[number, string]> = [[86400 * 365, 'year'], [86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']]
  for (const [length, unit] of steps) {
    const n = Math.floor(size / length)
    if (n >= 1) {
      const text = `${n} ${unit}${n === 1 ? '' : 's'}`
      return past >= 0 ? `${text} ago` : `in ${text}`
    }
  }
  return 'now'
}

/** A time of day, with seconds. */
export const clock = (seconds: number): string => new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })

/** A date and time. */
export const moment = (seconds: number): string => new Date(seconds * 1000).toLocaleString()
