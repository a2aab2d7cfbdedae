/** Where the console's static pages are, for whoever serves them. */

/**
 * The folder with `index.html`, `app.js` and `style.css`: to be served as it is, from the origin that
 * serves `/v1`. No inline script or style, so that a strict Content-Security-Policy can apply:
 * `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'`.
 */
export const consoleFolder: URL = new URL("./static/", import.meta.url);
