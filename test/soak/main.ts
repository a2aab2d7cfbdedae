// npm run soak                        ten minutes, 12 clients, 2 workers
// npm run soak -- --minutes 60 --clients 24 --workers 4 --seed 1
//
// Prints what was done and what must never happen; ends with 1 if any of that did. Disks fill up only
// where it may mount small file systems in memory, as root.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seedGiven } from "../harness/random.ts";
import { mountDisks } from "./disks.ts";
import { judge } from "./judge.ts";
import { runSoak } from "./soak.ts";

const dataBytes = 1024 * 1024 * 1024;
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    clients: { type: "string", default: "12" },
    workers: { type: "string", default: "2" },
    seed: { type: "string", default: `${seedGiven()}` },
  },
});
const print = (line: string): void => console.log(line);
const folder = await mkdtemp(join(tmpdir(), "roma-soak-"));
print(`soak of ${values.minutes} min, --seed ${values.seed}`);
const disks = await mountDisks(folder, dataBytes).catch((error: Error) => {
  print(`no disk fills up, for none can be mounted: ${error.message.split("\n", 1)}`);
  return undefined;
});
const report = await runSoak({
  ...{ folder, disks, print },
  seconds: Number(values.minutes) * 60,
  clients: Number(values.clients),
  workers: Number(values.workers),
  seed: Number(values.seed),
  faultMsMax: 2_000,
});
print(JSON.stringify(report, null, 2));
const faults = judge(report);
for (const fault of faults) console.error(`✖ ${fault}`);
if (faults.length > 0) console.error(`the server's data is in ${folder}`);
else {
  await disks?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = faults.length > 0 ? 1 : 0;
