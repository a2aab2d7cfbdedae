/**
 * Queries that are built and compiled once. Building a query in Kysely costs several times what
 * SQLite needs to run it, so queries on the path of every request are compiled with slots for their
 * values, once for each engine, and run with the values put in.
 */
import type { Compilable, CompiledQuery } from "kysely";
import type { Database } from "../schema.ts";

/** Stands for a value while the query is compiled. */
class Slot {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

interface Prepared<Row> {
  readonly query: CompiledQuery<Row>;
  /** In the order of the parameters: a slot's name, or a constant of the query. */
  readonly parameters: readonly unknown[];
}

/**
 * Answers a function that runs the query that `build` makes. `build` is called once for each
 * engine and must use its values only as values in the query: it cannot look at them.
 */
export function prepared<Values extends object, Row>(
  build: (db: Database, values: Values) => Compilable<Row>,
): (db: Database, values: Values) => Promise<readonly Row[]> {
  const byEngine = new WeakMap<object, Prepared<Row>>();
  return async (db, values) => {
    // Transactions and the connection they come from share one adapter.
    const engine = db.getExecutor().adapter;
    let { query, parameters } = byEngine.get(engine) ?? {};
    if (query === undefined || parameters === undefined) {
      query = build(db, slots<Values>()).compile();
      parameters = query.parameters;
      byEngine.set(engine, { query, parameters });
    }
    const filled = parameters.map((parameter) =>
      parameter instanceof Slot ? Reflect.get(values, parameter.name) : parameter,
    );
    const { rows } = await db.executeQuery<Row>({ ...query, parameters: filled });
    return rows;
  };
}

// Kysely takes what it does not know for a value, and hands it back as a parameter.
function slots<Values extends object>(): Values {
  return new Proxy(Object.create(null), { get: (_target, name) => new Slot(String(name)) });
}
