/**
 * What apt asks a site, and what it makes of the answers: requests, quoting, the signature and the
 * fields of Release. Written from Debian's documents and apt's behaviour alone.
 *
 * This room imports nothing of debgeo, nor of the archives that debgeo makes for itself, so that a
 * fault of theirs cannot hide here (linted). It shares two packages with them, openpgp and
 * node-liblzma: apt is the client that shares none.
 */
import { createHash } from 'node:crypto';
import http, { type Agent, type IncomingMessage } from 'node:http';
import https from 'node:https';

import {
  readCleartextMessage,
  readKeys,
  readSignature,
  createMessage,
  verify,
  type Key,
} from 'openpgp';

export interface Answer {
  readonly status: number;
  readonly bytes: Buffer;
  readonly lastModified: string | null;
  readonly etag: string | null;
}

/** A request on which no byte arrives for so long fails, as in apt (Acquire::http::Timeout). */
const STALL_MS = 30_000;

/**
 * apt's URI encoding, in lower-case hex: of plus, tilde, blank, percent, controls, and whatever is
 * not ASCII.
 */
export const quote = (path: string): string =>
  [...Buffer.from(path)]
    .map((byte) =>
      byte <= 0x20 || byte >= 0x7f || '+~%'.includes(String.fromCharCode(byte))
        ? `%${byte.toString(16).padStart(2, '0')}`
        : String.fromCharCode(byte),
    )
    .join('');

interface AskOptions {
  readonly method?: 'GET' | 'HEAD';
  readonly modifiedSince?: string | null;
}

/**
 * One anonymous request for a path below the root. A redirect is an answer and is not followed.
 * @throws Error when there is no whole answer
 */
export const ask = (root: string, path: string, options: AskOptions = {}): Promise<Answer> =>
  request(root, path, options, async (response) => {
    const bytes = Buffer.concat(await response.toArray());
    const { 'last-modified': lastModified = null, etag = null } = response.headers;
    return { status: response.statusCode ?? 0, bytes, lastModified, etag };
  });

/** A GET of a file that may be larger than memory: its size and SHA-256. */
export const weigh = (
  root: string,
  path: string,
): Promise<{ readonly status: number; readonly size: number; readonly sha256: string }> =>
  request(root, path, {}, async (response) => {
    const hash = createHash('sha256');
    let size = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      hash.update(part);
      size += part.length;
    }
    return { status: response.statusCode ?? 0, size, sha256: hash.digest('hex') };
  });

/** Once more where the server had closed a kept connection meanwhile, as apt does. */
async function request<T>(
  root: string,
  path: string,
  options: AskOptions,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  try {
    return await send(root, path, options, read, globalAgentOf(root));
  } catch (error) {
    if (!(error instanceof ClosedMeanwhile)) throw error;
    return send(root, path, options, read, false);
  }
}

class ClosedMeanwhile extends Error {}

const globalAgentOf = (root: string): Agent =>
  root.startsWith('https:') ? https.globalAgent : http.globalAgent;

function send<T>(
  root: string,
  path: string,
  options: AskOptions,
  read: (response: IncomingMessage) => Promise<T>,
  agent: Agent | false,
): Promise<T> {
  const url = new URL(root);
  const { request: open } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const sent = open(
      {
        agent,
        host: url.hostname,
        port: url.port,
        method: options.method ?? 'GET',
        path: `${url.pathname.replace(/\/$/, '')}/${quote(path)}`,
        headers: {
          'Cache-Control': 'max-age=0',
          ...(typeof options.modifiedSince === 'string'
            ? { 'If-Modified-Since': options.modifiedSince }
            : {}),
        },
      },
      (response) => void read(response).then(resolve, reject),
    );
    sent.setTimeout(STALL_MS, () => sent.destroy(new Error(`no byte for ${STALL_MS} ms`)));
    sent.on('error', (error: NodeJS.ErrnoException) => {
      const isClosed = sent.reusedSocket && error.code === 'ECONNRESET';
      reject(isClosed ? new ClosedMeanwhile(error.message) : error);
    });
    sent.end();
  });
}

/**
 * The folder of a suite: `dists/bookworm/`, or that of a flat archive as it is written
 * (sources.list(5)); empty for the root.
 */
export const suiteFolderOf = (suite: string): string =>
  suite.endsWith('/') ? suite.replace(/^\/$/, '') : `dists/${suite}/`;

/** Tables of hashes in Release, strongest first: apt asks by-hash under the first one there is. */
export const HASHES = [
  ['SHA512', 'sha512'],
  ['SHA256', 'sha256'],
  ['SHA1', 'sha1'],
  ['MD5Sum', 'md5'],
] as const;

export const digest = (algorithm: string, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('hex');

export interface ListedFile {
  readonly path: string;
  readonly size: number;
  /** In hex, by the table of Release. */
  readonly hashes: ReadonlyMap<string, string>;
}

export interface ReleaseFields {
  /** Milliseconds since 1970. */
  readonly date: number | null;
  readonly validUntil: number | null;
  readonly acquireByHash: boolean;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly files: ReadonlyMap<string, ListedFile>;
}

/** Stanzas of deb822: field names in lower case, the lines of a folded field joined by newlines. */
export function readStanzas(text: string): Map<string, string>[] {
  const stanzas: Map<string, string>[] = [];
  for (const block of text.replaceAll('\r\n', '\n').split(/\n(?:[ \t]*\n)+/)) {
    const stanza = new Map<string, string>();
    let field = '';
    for (const line of block.split('\n')) {
      if (/^[ \t]/.test(line)) stanza.set(field, `${stanza.get(field) ?? ''}\n${line.trim()}`);
      else if (line.includes(':')) {
        field = line.slice(0, line.indexOf(':')).toLowerCase();
        stanza.set(field, line.slice(line.indexOf(':') + 1).trim());
      }
    }
    if (stanza.size > 0) stanzas.push(stanza);
  }
  return stanzas;
}

export function readRelease(text: string): ReleaseFields {
  const fields = readStanzas(text)[0] ?? new Map<string, string>();
  const files = new Map<string, ListedFile & { readonly hashes: Map<string, string> }>();
  for (const [table] of HASHES) {
    for (const line of (fields.get(table.toLowerCase()) ?? '').split('\n')) {
      const [hex, size, path] = line.trim().split(/\s+/);
      if (hex === undefined || size === undefined || path === undefined) continue;
      const file = files.get(path) ?? {
        path,
        size: Number(size),
        hashes: new Map<string, string>(),
      };
      file.hashes.set(table, hex);
      files.set(path, file);
    }
  }
  const time = (field: string): number | null =>
    fields.has(field) ? Date.parse(fields.get(field) ?? '') : null;
  const words = (field: string): string[] =>
    (fields.get(field) ?? '').split(/\s+/).filter((word) => word !== '');
  return {
    date: time('date'),
    validUntil: time('valid-until'),
    acquireByHash: fields.get('acquire-by-hash') === 'yes',
    components: words('components'),
    architectures: words('architectures'),
    files,
  };
}

/** Why these bytes are not what Release lists, by size or any listed hash; null: they are. */
export function differenceOf(file: ListedFile, bytes: Uint8Array): string | null {
  if (bytes.length !== file.size)
    return `File has unexpected size (${bytes.length} != ${file.size})`;
  const wrong = HASHES.find(
    ([table, algorithm]) =>
      file.hashes.has(table) && file.hashes.get(table) !== digest(algorithm, bytes),
  );
  return wrong === undefined ? null : `Hash Sum mismatch (${wrong[0]})`;
}

/**
 * The text inside the signed block. Without a keyring it need not be signed.
 * @throws Error unless apt would accept framing and signature now
 */
export async function readInRelease(
  bytes: Uint8Array,
  keyring: Uint8Array | null,
): Promise<string> {
  const cleartextMessage = Buffer.from(bytes).toString('utf8');
  if (keyring === null && !cleartextMessage.startsWith('-----BEGIN PGP')) return cleartextMessage;
  if (
    !/^-----BEGIN PGP SIGNED MESSAGE-----\r?\n[^]*\r?\n-----END PGP SIGNATURE-----\s*$/.test(
      cleartextMessage,
    )
  )
    throw new Error('NOSPLIT: not a clear-signed file');
  if (cleartextMessage.match(/^-----BEGIN PGP SIGNED MESSAGE-----/gm)?.length !== 1)
    throw new Error('NOSPLIT: more than one signed block');
  if (cleartextMessage.match(/^-----END PGP SIGNATURE-----/gm)?.length !== 1)
    throw new Error('NOSPLIT: text between signatures');
  const message = await readCleartextMessage({ cleartextMessage });
  if (keyring === null) return message.getText();
  const verificationKeys = await readKeys({ binaryKeys: keyring });
  const result = await verify({ message, verificationKeys });
  await assertSigned(result.signatures, verificationKeys);
  return result.data;
}

export async function readDetached(
  release: Uint8Array,
  releaseGpg: Uint8Array,
  keyring: Uint8Array,
): Promise<string> {
  const verificationKeys = await readKeys({ binaryKeys: keyring });
  const signature = await readSignature({
    armoredSignature: Buffer.from(releaseGpg).toString('utf8'),
  });
  const result = await verify({
    message: await createMessage({ binary: release }),
    signature,
    verificationKeys,
    format: 'binary',
  });
  await assertSigned(result.signatures, verificationKeys);
  return Buffer.from(release).toString('utf8');
}

/**
 * One good signature of a key that is valid now is enough, whatever keys outside of the keyring
 * signed; but no key of the keyring may have made a bad one.
 */
async function assertSigned(
  signatures: readonly { readonly keyID: { toHex(): string }; readonly verified: Promise<true> }[],
  keys: readonly Key[],
): Promise<void> {
  let good = 0;
  let worthless = '';
  for (const { keyID, verified } of signatures) {
    const key = keys.find((candidate) =>
      candidate.getKeys().some((part) => part.getKeyID().toHex() === keyID.toHex()),
    );
    if (key === undefined) {
      await verified.catch(() => undefined);
      continue;
    }
    await verified;
    const expires = await key.getExpirationTime();
    if (expires !== null && expires !== Infinity && Number(expires) <= Date.now())
      worthless ||= `EXPKEYSIG ${keyID.toHex()}`;
    else if (await key.isRevoked()) worthless ||= `REVKEYSIG ${keyID.toHex()}`;
    else good += 1;
  }
  if (good === 0) throw new Error(worthless || 'NO_PUBKEY: not signed by a key of the keyring');
}
