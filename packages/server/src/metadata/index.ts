/** The metadata stores that a server can open. */
export { openSqliteStore, type SqliteStoreOptions } from "./sqlite/store.ts";
