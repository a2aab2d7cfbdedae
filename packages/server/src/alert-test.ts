/** `roma alerts test`: one message by each way that is configured, from this process, once. */
import { sendersOf, testMessage } from "./operations/alerts/index.ts";
import { loadServerConfig } from "./serve.ts";

export interface AlertSent {
  readonly channel: "webhook" | "email";
  /** Undefined: the receiver took it. */
  readonly failure?: string;
}

/** `argv` as after `serve`. Empty: no way is configured. */
export async function sendTestAlert(argv: readonly string[]): Promise<readonly AlertSent[]> {
  const { alerts, publicUrl, environment } = loadServerConfig(argv);
  const message = testMessage({ server: publicUrl ?? "roma", environment: environment ?? null });
  const sent = sendersOf(alerts).map(async (sender): Promise<AlertSent> => {
    const { channel } = sender;
    try {
      await sender.send(message, AbortSignal.timeout(alerts.timeout));
      return { channel };
    } catch (error) {
      return { channel, failure: error instanceof Error ? error.message : String(error) };
    } finally {
      await sender[Symbol.asyncDispose]();
    }
  });
  return await Promise.all(sent);
}
