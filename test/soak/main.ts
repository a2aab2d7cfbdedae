// npm run soak                        ten minutes, 12 clients, 2 workers
// npm run soak -- --minutes 60 --clients 24 --workers 4 --seed 1
//
// Prints what was done and what must never happen; ends with 1 if any of that did.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seedGiven } from "../harness/random.ts";
import { judge } from "./judge.ts";
import { runSoak } from "./soak.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    clients: { type: "string", default: "12" },
    workers: { type: "string", default: "2" },
    seed: { type: "string", default: `${seedGiven()}` },
  },
});
const print = (line: string): void => console.log(line);
const data = await mkdtemp(join(tmpdir(), "roma-soak-"));
print(`soak of ${values.minutes} min, --seed ${values.seed}`);
const report = await runSoak({
  data,
  seconds: Number(values.minutes) * 60,
  clients: Number(values.clients),
  workers: Number(values.workers),
  seed: Number(values.seed),
  print,
});
print(JSON.stringify(report, null, 2));
const faults = judge(report);
for (const fault of faults) console.error(`✖ ${fault}`);
if (faults.length > 0) console.error(`the server's data is in ${data}`);
else await rm(data, { recursive: true, force: true });
process.exitCode = faults.length > 0 ? 1 : 0;
