// Must come before whoever makes checks with zod: it would try whether it may compile code, which the
// Content-Security-Policy refuses.
import { config } from 'zod'

config({ jitless: true })
