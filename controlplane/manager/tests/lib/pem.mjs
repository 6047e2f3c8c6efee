// Certificates and keys that are made for a test.
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate that signs itself, with its key, both as PEM. */
export function certificate(name, { ca = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'manager-pem-'))
  try {
    const key = join(folder, 'key.pem')
    const cert = join(folder, 'cert.pem')
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '365',
      '-subj', `/CN=${name}`, '-addext', `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}`, '-keyout', key, '-out', cert], { stdio: 'pipe' })
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export function jwk(kid) {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' }
}

/** A pair of keys as PEM, as a key has them. */
export function pemKeys() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { public_key: publicKey.export({ type: 'spki', format: 'pem' }), private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}
