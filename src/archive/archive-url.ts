import { DebgeoError } from '../domain/errors.ts';
import { quoted } from '../domain/text.ts';

/**
 * The root of an archive, or an origin that it redirects to.
 * @throws CONFIG_INVALID
 */
export function parseRoot(text: string): URL {
  const url = URL.parse(text);
  const plain =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username + url.password + url.search + url.hash === '';
  if (plain) return url;
  throw new DebgeoError('CONFIG_INVALID', 'this is not the URL of an archive', {
    expected: 'http or https, without credentials, query and fragment',
    found: url === null ? 'no URL' : printed(url),
  });
}

/** A URL as it may be logged: credentials and what is in a query (signed URLs) stay out. */
export const printed = (url: URL, path = url.pathname): string =>
  quoted(`${url.origin === 'null' ? url.protocol : url.origin}${path.replace(/[?#].*$/s, '')}`);
