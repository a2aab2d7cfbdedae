// How much work does Roma still do when ten times as many clients come as it can serve, and how soon is it as before? Run by
// itself: `node bench/overload.ts [CLIENTS] [SECONDS]`, 64 clients at peak and 10 s by default.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runLoad } from "../test/overload/load.ts";
import { startRoma } from "./servers.ts";
import { quantile } from "./statistics.ts";

const [clients = 64, seconds = 10] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), "roma-bench-"));
try {
  await using roma = await startRoma({ folder, prefix: [], cores: 2 });
  const { host, port, headers } = roma.target;
  const authorization = headers.trim().replace(/^Authorization: /, "");
  const load = (name: string, times: number, forSeconds: number, waitMsMax = 60_000) =>
    runLoad({
      ...{ url: `http://${host}:${port}`, authorization, path: roma.pathOf(`${name}-`) },
      ...{ clients: clients * times, bytes: 16 * 1024, ms: forSeconds * 1000, waitMsMax },
    });
  await load("warm", 1, 3);
  const rows = [
    ["peak", await load("peak", 1, seconds)],
    ["ten times, clients that wait as told", await load("over", 10, seconds)],
    ["the 5 s after", await load("after", 1, 5)],
    ["ten times, clients that come back after 100 ms", await load("rude", 10, seconds, 100)],
    ["the 5 s after that", await load("last", 1, 5)],
  ] as const;
  const peak = rows[0][1].goodput;
  console.log(
    "| | PUTs of 16 KiB a second | of peak | median, ms | refused | median refusal, ms |",
  );
  console.log("|---|---|---|---|---|---|");
  for (const [what, { goodput, refused, refusalMs, successMs, odd }] of rows) {
    const share = `${Math.round((goodput / peak) * 100)} %`;
    const [success, refusal] = [successMs, refusalMs].map((ms) =>
      ms.length === 0 ? "" : Math.round(quantile(ms, 0.5)),
    );
    console.log(
      `| ${what} | ${Math.round(goodput)} | ${share} | ${success} | ${refused} | ${refusal} |`,
    );
    if (odd.length > 0) console.log(`| odd answers | ${odd.join("; ")} |`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
