/**
 * An archive in hostile hands: a good one, over http or as a folder, and what a case lays over it;
 * and how hostile releases are made. Most of them are rightly signed: the worst enemy has the key.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';

import type { SigningKey } from '../../../src/made-archive/signing-key.ts';

/**
 * What lies at a path: bytes, nothing (null), a link (folders only), or what a server
 * answers (http only).
 */
export type Laid =
  | Buffer
  | null
  | { readonly linkTo: string }
  | ((request: IncomingMessage, response: ServerResponse) => void);
/** By path below the root of the archive. */
export type Overlay = Readonly<Record<string, Laid>>;

/** What cases are made from. */
export interface Hand {
  readonly key: SigningKey;
  readonly stranger: SigningKey;
  /** The good InRelease. */
  readonly inRelease: string;
  /** Of the good release: another body of the same Date is no older release. */
  readonly date: Date;
  /** A server of another origin, to which no worker may be led. */
  readonly elsewhere: string;
  /** A file outside of the folder of the archive. */
  readonly outside: string;
}

export const SUITE_FOLDER = 'dists/bookworm';
export const PACKAGES = 'main/binary-amd64/Packages';

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

/** Release text that lists these files, or says exactly these lines. */
export function releaseText(
  hand: Hand,
  files: Readonly<Record<string, Uint8Array>>,
  change: {
    readonly lines?: readonly string[];
    readonly date?: string | null;
    readonly fields?: readonly string[];
  } = {},
): string {
  const listed = Object.entries(files).map(
    ([path, bytes]) => ` ${sha256(bytes)} ${bytes.length} ${path}`,
  );
  const date = change.date === undefined ? dateOf(hand.date) : change.date;
  const fields = [
    'Suite: bookworm',
    'Architectures: amd64',
    'Components: main',
    ...(date === null ? [] : [`Date: ${date}`]),
  ];
  return [
    ...fields,
    ...(change.fields ?? []),
    'SHA256:',
    ...listed,
    ...(change.lines ?? []),
    '',
  ].join('\n');
}

export const dateOf = (date: Date): string => date.toUTCString().replace('GMT', 'UTC');

/** A Release set of InRelease alone, signed by the archive's own key unless another is given. */
export const signed = async (
  hand: Hand,
  text: string,
  key: SigningKey = hand.key,
): Promise<Overlay> => ({
  [`${SUITE_FOLDER}/InRelease`]: Buffer.from(await key.signClear(text)),
});

/** A rightly signed release whose indices are these, at their canonical names. */
export async function releaseOf(
  hand: Hand,
  files: Readonly<Record<string, Buffer>>,
  change: Parameters<typeof releaseText>[2] = {},
): Promise<Overlay> {
  const laid = Object.entries(files).map(
    ([path, bytes]) => [`${SUITE_FOLDER}/${path}`, bytes] as const,
  );
  return { ...(await signed(hand, releaseText(hand, files, change))), ...Object.fromEntries(laid) };
}

/**
 * A stanza of Packages; a field that is null is left out. Bytes are Latin-1, so that anything can
 * be said.
 */
export function stanza(fields: Readonly<Record<string, string | null>>): Buffer {
  const all = {
    Package: 'hostile',
    Version: '1.0',
    Architecture: 'amd64',
    Filename: 'pool/h.deb',
    Size: '1',
    SHA256: '0'.repeat(64),
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [`${name}: ${value}\n`],
  );
  return Buffer.from(`${lines.join('')}\n`, 'latin1');
}

/** Serves a folder, and answers otherwise where something is laid over it. */
export class HostileArchive {
  readonly url: string;
  readonly #server: Server;
  readonly #folder: string;
  /** A copy of the folder, for cases that need one. */
  readonly mirror: string;
  #over: Overlay = {};

  private constructor(server: Server, folder: string, mirror: string) {
    this.#server = server;
    this.#folder = folder;
    this.mirror = mirror;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(folder: string, mirror: string): Promise<HostileArchive> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const archive = new HostileArchive(server, folder, mirror);
    server.on(
      'request',
      (request: IncomingMessage, response: ServerResponse) =>
        void archive.#answer(request, response),
    );
    return archive;
  }

  /**
   * Over http this is what is there from now on; with `folder` a copy of the archive has it on
   * disk, too.
   */
  async lay(over: Overlay, at: 'http' | 'folder'): Promise<void> {
    this.#over = over;
    if (at === 'http') return;
    await rm(this.mirror, { recursive: true, force: true });
    await cp(this.#folder, this.mirror, { recursive: true });
    for (const [path, laid] of Object.entries(over)) {
      const file = join(this.mirror, path);
      await rm(file, { recursive: true, force: true });
      await mkdir(dirname(file), { recursive: true });
      if (Buffer.isBuffer(laid)) await writeFile(file, laid);
      else if (laid !== null && typeof laid === 'object') await symlink(laid.linkTo, file);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {}); // the reader has gone
    const path = decodeURIComponent((request.url ?? '/').slice(1));
    const laid = Object.hasOwn(this.#over, path)
      ? this.#over[path]!
      : await readFile(join(this.#folder, path)).catch(() => null);
    if (typeof laid === 'function') return laid(request, response);
    response.writeHead(Buffer.isBuffer(laid) ? 200 : 404);
    response.end(Buffer.isBuffer(laid) ? laid : undefined);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
