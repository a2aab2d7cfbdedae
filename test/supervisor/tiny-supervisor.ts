// A supervisor of tiny workers. Options are JSON in the first argument.
import { fileURLToPath } from "node:url";
import { ownMemoryGroup, runSupervisor } from "../../packages/server/src/supervisor/index.ts";

const given = JSON.parse(process.argv[2] ?? "{}");
const write = (level: string) => (fields: object, msg: string) =>
  void process.stdout.write(`${JSON.stringify({ level, ...fields, msg })}\n`);
const log = {
  debug: write("debug"),
  info: write("info"),
  warn: write("warn"),
  error: write("error"),
};

await runSupervisor({
  program: {
    file: fileURLToPath(new URL("./tiny-worker.ts", import.meta.url)),
    args: [],
    nodeFlags: given.nodeFlags ?? [],
  },
  plan: {
    count: given.count ?? 2,
    heapMebibytes: undefined,
    recycleBytes: given.recycleBytes,
    roomForSuccessor: true,
  },
  group: ownMemoryGroup(),
  log,
  heartbeatMs: given.heartbeatMs ?? 30_000,
  heavyAfterMs: 0,
  leaveMsMax: given.leaveMsMax ?? 90_000,
  endLog: async () => true,
  checkConfig: () => {
    if (given.wrongConfig === true) throw new Error("wrong");
  },
});
