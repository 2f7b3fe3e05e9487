/** What the text of a variable means; undefined: it is not of this form. */

export const MILLISECONDS_MAX = 999_999;
export const milliseconds = (text: string): number | undefined =>
  /^\d{1,6}$/.test(text) ? Number(text) : undefined;

export const path = (text: string): string => text;

/** `host` or `host:port`, as a URL has them. */
export const hosts = (text: string): readonly string[] | undefined => {
  const found = text.split(',').map((host) => host.trim().toLowerCase());
  const isHost = (host: string): boolean => {
    const url = URL.parse(`https://${host}`);
    return url !== null && host.replace(/:443$/, '') === url.host;
  };
  return found.every(isHost) ? found : undefined;
};

/** As Node takes it, which ignores other schemes without a word. */
export function proxy(text: string): string | undefined {
  const url = URL.parse(text);
  const isPlain =
    url !== null && /^https?:$/.test(url.protocol) && url.pathname + url.search + url.hash === '/';
  return isPlain && isDecodable(url.username) && isDecodable(url.password) ? url.href : undefined;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
