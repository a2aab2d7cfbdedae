/** Origins as the configuration names them: as browsers send them, or `*` for all. */

const originPattern = /^[a-z][a-z0-9+.-]*:\/\/(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[1-9]\d{0,4})?$/;

/**
 * `*`, or scheme, host and port in the form of the `Origin` field (RFC 6454 §6.1): lower case, no
 * default port, no slash at the end. `null` is none: every sandboxed page has that one.
 */
export function isAllowedOrigin(text: string): boolean {
  if (text === "*") return true;
  if (!originPattern.test(text)) return false;
  // Other schemes (capacitor://localhost) have no origin by the URL standard, and are sent all the same.
  return !/^https?:/.test(text) || (URL.canParse(text) && new URL(text).origin === text);
}
