// What a kind of entities needs to have pages: everything else follows from it, in router/entity.ts and pages/entity.
import type { Component } from 'vue'
import type { RouteLocationRaw } from 'vue-router'
import type { FilterSchema } from '@kong-ui-public/entities-shared'
import { lazy } from '@/lazy'

/** An entity as the Admin API returns it. */
export type Entity = Record<string, unknown> & { id?: string }

/** The components of a package that a kind's pages show. */
export interface Parts {
  List: Component
  Form: Component
  /** Absent for kinds without a page of their own, as SNIs. */
  Card?: Component
}

/** Another page below an entity's own, as the routes of a service. */
export interface Tab {
  /** The last segment of its path and of its route's name. */
  name: string
  title: string
  component: () => Promise<{ default: Component }>
  props?: Record<string, unknown>
}

/** What a list or a form is below of, as a service's routes. */
export interface Scope {
  /** The parent's kind, as in Kind.key. */
  kind: string
  id: string
}

export interface Kind {
  /** Stem of the names of routes and of messages: "service" has service-list and service-edit. */
  key: string
  /** The first segment of its pages' paths. */
  path: string
  /** The name of its collection in the Admin API. */
  collection: string
  title: string
  titles: string
  /** One sentence below the list's title. */
  about: string
  parts: Parts
  /** The prop of the form with the entity's id. */
  formID: string
  /** What a person calls an entity; its id where this is empty. */
  nameOf: (entity: Entity) => unknown
  /** Fields that the list can be filtered by; absent, it asks for an id. */
  filter?: FilterSchema
  /** More of the config of the list, the form and the card than what all kinds have. */
  listConfig?: (scope: Scope | undefined) => Record<string, unknown>
  formConfig?: () => Record<string, unknown>
  /** More props of the form, and of the list. */
  formProps?: (query: Record<string, string>) => Record<string, unknown>
  listProps?: () => Record<string, unknown>
  cardProps?: (query: Record<string, string>) => Record<string, unknown>
  tabs?: Tab[]
  /** The query parameters, by the parent's kind, that say what a new entity belongs to. */
  parents?: Record<string, string>
  /** Where a form goes when it has saved; the entity's page when absent. */
  afterSave?: RouteLocationRaw
}

/** Parts that are loaded when a page shows them. */
export function lazyParts(load: () => Promise<Parts>, withCard = true): Parts {
  const part = (name: keyof Parts) => lazy(async () => {
    const component = (await load())[name]
    if (!component) {
      throw new Error(`no ${name} in this package`)
    }
    return component
  })
  return withCard ? { List: part('List'), Form: part('Form'), Card: part('Card') } : { List: part('List'), Form: part('Form') }
}
