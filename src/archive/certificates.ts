import { X509Certificate } from 'node:crypto';

/** RFC 7468, 2 and 5. */
const BLOCK = /-----BEGIN CERTIFICATE-----[\w+/=\s]*-----END CERTIFICATE-----/g;

/**
 * @param pem certificates, one after the other; text between them is no part of them
 * @returns each of them, PEM; null: there is none, or one of them is broken
 */
export function certificatesIn(pem: string): readonly string[] | null {
  const found = pem.match(BLOCK) ?? [];
  try {
    for (const one of found) new X509Certificate(one);
  } catch {
    return null;
  }
  return found.length === 0 ? null : found;
}
