/**
 * Conditions that whoever runs the server must know of while they last. Raising and clearing never wait,
 * never throw, and cost little when the state is what it was: a guard may say its state at each look.
 * `operations/alerts/` logs them, counts them as `alerts_active`, and sends them to people.
 */

/** What tells one alert of a name from another, like the storage; few, short, and without a secret. */
export type AlertFields = Readonly<Record<string, string | number | boolean>>;

export interface Alerts {
  /**
   * The condition holds. `name` is one of `operations/alerts/definitions.ts`; name and those `fields` that its
   * definition lists as labels say which alert it is, the other fields are told with it. `message` is a
   * sentence: what holds, with its numbers. A condition that is only an event ends by itself after
   * the time that its definition says.
   */
  raise(name: string, fields: AlertFields, message: string): void;
  /** It holds no more; without labels among `fields`: none of this name does. Nothing, if it did not. */
  clear(name: string, fields?: AlertFields): void;
}

export const silentAlerts: Alerts = { raise() {}, clear() {} };
