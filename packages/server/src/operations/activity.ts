/** What this process is doing, in few words: for whoever wants to know what it did when it died. */
import type { FastifyInstance } from "fastify";
import type { Registry } from "prom-client";

export interface ActivitySample {
  readonly requestsRunning: number;
  readonly uploadsRunning: number;
  /** Of the last requests, the newest last: `PUT /v1/objects/:bucket/*`. */
  readonly routes: readonly string[];
}

const routesMax = 8;

export class Activity {
  readonly #registry: Registry;
  readonly #apps: FastifyInstance[] = [];
  readonly #routes: string[] = [];
  #next = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Before the app is ready. */
  watch(app: FastifyInstance): void {
    this.#apps.push(app);
    app.addHook("onRequest", (request, _reply, done) => {
      // The route as it was declared: a key or an id of a client's is not in it.
      this.#routes[this.#next] = `${request.method} ${request.routeOptions.url ?? "?"}`;
      this.#next = (this.#next + 1) % routesMax;
      done();
    });
  }

  async sample(): Promise<ActivitySample> {
    const uploads = await this.#registry.getSingleMetric("uploads_running")?.get();
    return {
      requestsRunning: this.#apps.reduce(
        (sum, { httpRuntime }) => sum + httpRuntime.scopes.size,
        0,
      ),
      uploadsRunning: uploads?.values[0]?.value ?? 0,
      routes: [...this.#routes.slice(this.#next), ...this.#routes.slice(0, this.#next)],
    };
  }
}
