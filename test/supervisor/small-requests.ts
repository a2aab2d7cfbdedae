import { Agent, request } from "node:http";

/** One after the other on connections that are kept, until told otherwise. */
export function smallRequests(url: string, headers: Readonly<Record<string, string>> = {}) {
  const failures: string[] = [];
  let answers = 0;
  let stopped = false;
  const one = (agent: Agent) =>
    new Promise<void>((done) => {
      const sent = request(url, { agent, headers }, (response) => {
        if (response.statusCode === 200) answers += 1;
        else failures.push(`status ${response.statusCode}`);
        response.resume().once("close", done);
      });
      sent.once("error", (error) => {
        failures.push(String(error));
        done();
      });
      sent.end();
    });
  const run = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!stopped) await one(agent);
    agent.destroy();
  };
  const running = Promise.all([run(), run()]);
  const stop = async () => {
    stopped = true;
    await running;
    return { failures, answers };
  };
  return { stop };
}
