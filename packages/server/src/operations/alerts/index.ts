/** Alerts as the server opens them. */
import { randomUUID } from "node:crypto";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { Siblings } from "../../core/ports/siblings.ts";
import { makeAlert } from "./alert.ts";
import { AlertCenter } from "./alert-center.ts";
import { type AlertMessage, Channel, type Sender } from "./channel.ts";
import type { AlertsConfig } from "./config.ts";
import { email } from "./email.ts";
import { webhook } from "./webhook.ts";

export { AlertCenter } from "./alert-center.ts";
export { type AlertsConfig, alertsConfig } from "./config.ts";

export interface OpenAlertsOptions {
  readonly config: AlertsConfig;
  readonly siblings: Siblings;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** How messages call this server. */
  readonly about: () => { readonly server: string; readonly environment: string | null };
}

/** Sends by the ways that are configured; without any, alerts are lines in the log and metrics. */
export function openAlerts(options: OpenAlertsOptions): AlertCenter {
  const { config, log, meter } = options;
  const channels = sendersOf(config).map(
    (sender) => new Channel({ sender, log, meter, msMax: config.timeout }),
  );
  return new AlertCenter({
    ...options,
    channels,
    repeatMs: config.repeat,
    settleMs: config.settle,
  });
}

/** One for each way that is configured. Whoever takes them disposes them. */
export function sendersOf(config: AlertsConfig): readonly Sender[] {
  const { webhook: url, smtp, emailFrom, emailTo, timeout } = config;
  const senders: Sender[] = [];
  if (url !== undefined) senders.push(webhook(url.reveal()));
  if (smtp !== undefined && emailFrom !== undefined) {
    senders.push(email({ url: smtp.reveal(), from: emailFrom, to: emailTo, msMax: timeout }));
  }
  return senders;
}

/** Sent because somebody asked for it. */
export function testMessage(about: Pick<AlertMessage, "server" | "environment">): AlertMessage {
  const alert = makeAlert("alert_test", {}, "this is a test: nothing is wrong", new Date());
  return { status: "firing", alert, id: randomUUID(), ...about };
}
