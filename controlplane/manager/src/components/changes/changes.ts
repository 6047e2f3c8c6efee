// What a change set would do or has done, as the Admin API tells it.

export interface FieldChange {
  field: string
  before: unknown
  after: unknown
  /** The values are not shown. */
  secret?: boolean
}

export interface EntityChange {
  /** null when it is not known whether the entity was there before. */
  operation: 'create' | 'update' | 'delete' | null
  kind: string
  id: string
  name: string | null
  workspace?: string | null
  fields: FieldChange[] | null
}

export interface Changes {
  /** How many there are, of which entities has the first. */
  changes: number
  entities: EntityChange[]
}
