/** Where the two engines differ in table definitions: types, order of texts, physical layout. */
import {
  type ColumnDataType,
  type ColumnDefinitionBuilder,
  type CreateTableBuilder,
  type Expression,
  sql,
} from "kysely";

export interface Engine {
  readonly bytes: ColumnDataType | Expression<unknown>;
  /** 64 bits; the PostgreSQL store parses it to a number. */
  readonly integer: ColumnDataType;
  /** Makes the column of type `integer` the primary key: numbers that the engine gives, in order, each once. */
  readonly sequence: (column: ColumnDefinitionBuilder) => ColumnDefinitionBuilder;
  /** Text compared by its UTF-8 bytes, whatever the database's own collation is. */
  readonly orderedText: ColumnDataType | Expression<unknown>;
  /** Ends a table whose rows lie in the order of the primary key. */
  readonly clustered: Expression<unknown> | undefined;
}

export const sqliteEngine: Engine = {
  bytes: "blob",
  integer: "integer",
  sequence: (column) => column.primaryKey().autoIncrement(),
  orderedText: sql`text collate binary`,
  clustered: sql`without rowid`,
};

export const postgresEngine: Engine = {
  bytes: "bytea",
  integer: "bigint",
  sequence: (column) => column.primaryKey().generatedAlwaysAsIdentity(),
  orderedText: sql`text collate "C"`,
  clustered: undefined,
};

/** Rows in the order of the primary key, where the engine can be told so. */
export function clustered<Name extends string, Columns extends string>(
  table: CreateTableBuilder<Name, Columns>,
  { clustered }: Engine,
): CreateTableBuilder<Name, Columns> {
  return clustered === undefined ? table : table.modifyEnd(clustered);
}
