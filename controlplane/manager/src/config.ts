// What the control plane says in kconfig.js, in the form that Kong's manager reads: strings, empty ones unset.

function setting(key: string): string {
  return window.K_CONFIG?.[key] ?? ''
}

function adminURL(): string {
  const { protocol, hostname } = window.location
  const url = setting('ADMIN_API_URL').replace(/\/+$/, '')
  if (url) {
    return /^(https?:)?\/\//.test(url) ? url : `${protocol}//${url}`
  }
  const port = protocol === 'https:' ? setting('ADMIN_API_SSL_PORT') || '8444' : setting('ADMIN_API_PORT') || '8001'
  return `${protocol}//${hostname}:${port}`
}

export const config = {
  /** Path prefix of this application, with a slash at both ends. */
  path: setting('ADMIN_GUI_PATH') || '/',
  /** Address of the Admin API without a slash at the end. */
  adminURL: adminURL(),
  /** Version of the control plane. */
  version: setting('SLUICE_VERSION'),
}
