/** Certificates of the day, made by openssl: an authority, and what it signs. PEM, all of it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Pair {
  /** For a server of this host, or for a client of this name. */
  sign(name: string): Pair;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export function makeAuthority(): Authority {
  const authority = certify('an authority of a test', null);
  return { ...authority, sign: (name) => certify(name, authority) };
}

/** Of a key that OpenSSL reads, and does not show: its security level asks for 2048 bits. */
export const makeWeakPair = (): Pair =>
  certify('a weak key of a test', null, ['-newkey', 'rsa:1024', '-nodes']);

/** @param authority null: signed by itself */
function certify(name: string, authority: Pair | null, newKey = NEW_KEY): Pair {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-certificates-'));
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const [caCert, caKey] = [join(folder, 'ca.pem'), join(folder, 'ca.key')];
  const options = ['req', '-x509', ...newKey, '-days', '1', '-subj', `/CN=${name}`];
  try {
    if (authority !== null) {
      writeFileSync(caCert, authority.cert);
      writeFileSync(caKey, authority.key);
      options.push('-CA', caCert, '-CAkey', caKey);
      options.push('-addext', `subjectAltName=DNS:${name}`);
      options.push('-addext', 'basicConstraints=critical,CA:FALSE');
    }
    execFileSync('openssl', [...options, '-keyout', key, '-out', cert], { stdio: 'ignore' });
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
