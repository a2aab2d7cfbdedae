/** The metadata stores that a server can open. */
export { lookAtSchema, type SchemaSeen } from "./sqlite/look.ts";
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/store.ts";
