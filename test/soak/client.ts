/**
 * One client of the soak: changes and reads keys of its own by every front end, breaks connections
 * on purpose, and notes in the ledger what it was told.
 */
import { createHash } from "node:crypto";
import { type Answer, formBody, listKeys, send } from "../harness/http-client.ts";
import type { Random } from "../harness/random.ts";
import { Keys, makeBytes } from "./keys.ts";
import { absent, type Ledger, type State, stateOf } from "./ledger.ts";
import { S3Acts } from "./s3.ts";
import { uploadByTus } from "./tus.ts";
import { Wire, wait } from "./wire.ts";

const weights = {
  put: 24,
  get: 24,
  getRange: 8,
  remove: 8,
  form: 4,
  tus: 10,
  list: 3,
  putCut: 6,
  putWrong: 3,
  getCut: 3,
  tusAbandoned: 2,
  s3Put: 10,
  s3Get: 10,
  s3GetRange: 4,
  s3Copy: 5,
  s3Remove: 4,
  s3Parts: 4,
  s3PartsAborted: 2,
};

const readyMsMax = 60_000;

type Act = keyof typeof weights;

/** At least one of each must be acknowledged in a run. */
export const actsAcknowledged = ["put", "form", "tus", "s3Put", "s3Copy", "s3Parts"];

export interface SoakClientOptions {
  readonly name: string;
  readonly url: string;
  readonly s3Url: string;
  readonly ledger: Ledger;
  readonly random: Random;
  /** Counts each thing that was done, and each status that was answered. */
  readonly count: (what: string) => void;
}

export class SoakClient {
  readonly #it: SoakClientOptions;
  readonly #keys: Keys;
  readonly #wire: Wire;
  readonly #s3: S3Acts;
  /** Each act once, before any comes by chance. */
  readonly #first: Act[];

  constructor(options: SoakClientOptions) {
    const { name, ledger, random } = options;
    this.#it = options;
    this.#keys = new Keys(name, ledger, random);
    this.#wire = new Wire(options);
    this.#s3 = new S3Acts({ ...options, keys: this.#keys });
    this.#first = random.shuffled(Object.keys(weights) as Act[]);
  }

  /** One thing after the other, until told to stop. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted || this.#first.length > 0) {
      await this.#act(this.#first.pop() ?? this.#it.random.weighted(weights));
    }
    this.#wire.closeConnections();
    this.#s3.closeConnections();
  }

  /** Reads every key by REST, and some by S3, when nothing changes any more. */
  async readEverything(): Promise<void> {
    const { ledger } = this.#it;
    this.#judgeList(await listKeys(this.#it, this.#keys.prefix));
    for (const key of this.#keys.all) {
      const { status, body } = await sendUntilReady(this.#it, path(key));
      if (status === 200) ledger.see(key, stateOf(body), "the last GET of");
      else if (status === 404) ledger.see(key, absent, "the last GET of");
      else ledger.violate(`the last GET of ${key} was answered ${status}: ${body}`);
      if (this.#it.random.next() < 0.3) await this.#s3.see(key);
    }
    this.#s3.closeConnections();
  }

  async #act(name: Act): Promise<void> {
    this.#it.count(name);
    const keys = this.#keys;
    switch (name) {
      case "put":
        return await this.#put(keys.pick());
      case "putCut":
        return await this.#putCut(keys.pick());
      case "putWrong":
        return await this.#putWrong(keys.pick());
      case "form":
        return await this.#form(keys.pick());
      case "tus":
        return await this.#tus(keys.pick(), { abandon: false });
      case "tusAbandoned":
        return await this.#tus(keys.pick(), { abandon: true });
      case "remove":
        return await this.#remove(keys.pickPresent() ?? keys.pick());
      case "get":
        return await this.#get(keys.pickAny());
      case "getRange":
        return await this.#getRange(keys.pickPresent() ?? keys.pick());
      case "getCut":
        return await this.#wire.getCut(path(keys.pickPresent() ?? keys.pick()));
      case "list":
        return await this.#list();
      case "s3Put":
        return await this.#s3.put(keys.pick());
      case "s3Get":
        return await this.#s3.see(keys.pickAny());
      case "s3GetRange":
        return await this.#s3.getRange(keys.pickPresent() ?? keys.pick());
      case "s3Copy":
        return await this.#s3.copy(keys.pick());
      case "s3Remove":
        return await this.#s3.remove(keys.pickPresent() ?? keys.pick());
      case "s3Parts":
        return await this.#s3.putParts(keys.pick());
      case "s3PartsAborted":
        return await this.#s3.abortParts(keys.pick());
    }
  }

  async #put(key: string): Promise<void> {
    const bytes = makeBytes(this.#it.random);
    const headers: Record<string, string> = {};
    if (this.#it.random.next() < 0.3) {
      const digest = createHash("sha256").update(bytes).digest("base64");
      headers["repr-digest"] = `sha-256=:${digest}:`;
    }
    const answer = await this.#wire.send("PUT", path(key), { body: bytes, headers });
    this.#settle("put", key, stateOf(bytes), answer);
  }

  async #putWrong(key: string): Promise<void> {
    const bytes = makeBytes(this.#it.random);
    const headers = { "content-md5": createHash("md5").update(bytes).update("!").digest("base64") };
    const answer = await this.#wire.send("PUT", path(key), { body: bytes, headers });
    if (answer !== undefined && answer.status < 300) {
      this.#it.ledger.violate(`PUT ${key} with a wrong digest was answered ${answer.status}`);
    }
    await this.#get(key);
  }

  /** The connection breaks before the last byte has left: the change must not happen. */
  async #putCut(key: string): Promise<void> {
    const { random } = this.#it;
    const body = makeBytes(random);
    if (body.length === 0) return;
    const cut = random.below(body.length);
    await this.#wire.sendCut("PUT", path(key), { headers: {}, body, cut });
    await this.#get(key);
  }

  async #form(key: string): Promise<void> {
    const bytes = makeBytes(this.#it.random);
    const { headers, body } = formBody([{ name: "a file", bytes }], { key });
    const answer = await this.#wire.send("POST", "/v1/objects/demo", { headers, body });
    this.#settle("form", key, stateOf(bytes), answer);
  }

  async #tus(key: string, options: { readonly abandon: boolean }): Promise<void> {
    const { ledger, random, count } = this.#it;
    if (await uploadByTus({ wire: this.#wire, ledger, random }, key, options)) {
      count("tus acknowledged");
    }
  }

  async #remove(key: string): Promise<void> {
    const answer = await this.#wire.send("DELETE", path(key), {});
    if (answer?.status === 404) return this.#it.ledger.see(key, absent, "DELETE");
    this.#settle("remove", key, absent, answer);
  }

  async #get(key: string): Promise<void> {
    const answer = await this.#wire.send("GET", path(key), {});
    if (answer?.status === 200) this.#it.ledger.see(key, stateOf(answer.body), "GET");
    if (answer?.status === 404) this.#it.ledger.see(key, absent, "GET");
  }

  /** A range of the object that the ETag of the answer before names. */
  async #getRange(key: string): Promise<void> {
    const whole = await this.#wire.send("GET", path(key), {});
    if (whole?.status !== 200 || whole.body.length < 2) return;
    const first = this.#it.random.below(whole.body.length - 1);
    const answer = await this.#wire.send("GET", path(key), {
      headers: { range: `bytes=${first}-`, "if-range": whole.headers.etag ?? "" },
    });
    if (answer?.status === 206 && !answer.body.equals(whole.body.subarray(first))) {
      this.#it.ledger.violate(`GET ${key} from byte ${first} showed other bytes than the whole`);
    }
  }

  async #list(): Promise<void> {
    const listed = await listKeys(this.#it, this.#keys.prefix).catch(() => undefined);
    if (listed !== undefined) this.#judgeList(listed);
  }

  /** All keys that there are below this client's prefix. */
  #judgeList(listed: readonly string[]): void {
    const { ledger } = this.#it;
    const unseen = new Set(this.#keys.all);
    for (const key of listed) {
      if (!unseen.delete(key)) ledger.violate(`a list has ${key}, which nobody wrote`);
      else if (ledger.possible(key).every((state) => state === absent)) {
        ledger.violate(`a list has ${key}`);
      }
    }
    for (const key of unseen) {
      if (!ledger.possible(key).includes(absent)) ledger.violate(`a list lacks ${key}`);
    }
  }

  #settle(act: Act, key: string, state: State, answer: Answer | undefined): void {
    this.#it.count(`${act} ${this.#it.ledger.settle(key, state, answer)}`);
  }
}

/** A storage that failed a moment ago may be left alone for a while. */
async function sendUntilReady(server: { readonly url: string }, target: string): Promise<Answer> {
  const until = performance.now() + readyMsMax;
  for (;;) {
    const answer = await send(server, "GET", target);
    if (answer.status !== 503 || performance.now() > until) return answer;
    await wait(200);
  }
}

function path(key: string): string {
  return `/v1/objects/demo/${key}`;
}
