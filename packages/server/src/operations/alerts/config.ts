/** Options of alerts: who is told, how, and how often. */
import { z } from "zod";
import { duration, secret } from "../../config/index.ts";

const address = z
  .string()
  .max(320)
  .regex(/^[^\s@<>]+@[^\s@<>]+$/, { error: "must be an e-mail address" });

const isUrlOf = (protocols: readonly string[]) => (value: { reveal(): string }) => {
  const url = URL.parse(value.reveal());
  return url !== null && protocols.includes(url.protocol) && url.hostname !== "";
};

export const alertsConfig = z
  .strictObject({
    webhook: secret()
      .refine(isUrlOf(["http:", "https:"]), { error: "must be an http or https URL" })
      .optional()
      .describe(
        "where alerts are posted as JSON (docs/operations.md); kept as a secret, for such addresses often are",
      ),
    smtp: secret()
      .refine(isUrlOf(["smtp:", "smtps:"]), {
        error: "must be smtp://HOST:PORT or smtps://USER:PASSWORD@HOST",
      })
      .optional()
      .describe("server that takes the mails: smtp://HOST:PORT or smtps://USER:PASSWORD@HOST"),
    emailFrom: address.optional().describe("sender of the mails; needed with alerts.smtp"),
    emailTo: z
      .array(address)
      .max(50)
      .default([])
      .describe("who gets the mails; needed with alerts.smtp"),
    repeat: duration({ min: "1 s", max: "30 days" })
      .default("4 h")
      .describe("an alert that goes on is told of again after this time"),
    settle: duration({ min: "0 ms", max: "1 h" })
      .default("30 s")
      .describe(
        "how long a condition must be gone before its end is told: what comes and goes is one alert",
      ),
    timeout: duration({ min: "100 ms", max: "5 min" })
      .default("10 s")
      .describe("time for one attempt to send; six are made over about a minute"),
  })
  .superRefine(({ smtp, emailFrom, emailTo }, context) => {
    if (smtp === undefined) return;
    if (emailFrom === undefined) {
      context.addIssue({
        code: "custom",
        path: ["emailFrom"],
        message: "is needed with alerts.smtp",
      });
    }
    if (emailTo.length === 0) {
      context.addIssue({
        code: "custom",
        path: ["emailTo"],
        message: "is needed with alerts.smtp",
      });
    }
  });

export type AlertsConfig = z.output<typeof alertsConfig>;
