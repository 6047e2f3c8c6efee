// The plugins that consumers have credentials of. One whose plugin is in no configuration may have them all the same.
export interface Credential {
  /** The plugin's name, which is also in the page's address. */
  plugin: string
  title: string
  /** What the package of the lists calls it. */
  list: 'acls' | 'basic-auth' | 'hmac-auth' | 'jwt' | 'key-auth' | 'oauth2'
}

export const credentials: Credential[] = [
  { plugin: 'acl', title: 'ACL', list: 'acls' },
  { plugin: 'basic-auth', title: 'Basic Authentication', list: 'basic-auth' },
  { plugin: 'hmac-auth', title: 'HMAC Authentication', list: 'hmac-auth' },
  { plugin: 'jwt', title: 'JWT', list: 'jwt' },
  { plugin: 'key-auth', title: 'Key Authentication', list: 'key-auth' },
  { plugin: 'oauth2', title: 'OAuth 2.0 Authentication', list: 'oauth2' },
]
