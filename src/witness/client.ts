/** A client of a site: apt, or the built-in client on a host without apt. */

export interface Outcome {
  /** 0, or 100 as apt-get has it. */
  readonly exitCode: number;
  /** The end of what the client printed. */
  readonly output: string;
}

export interface DownloadedFile {
  readonly package: string;
  /** Of the file in the pool: `hello_1.0_amd64.deb`. */
  readonly name: string;
  readonly size: number;
  /** Of the bytes on disk, hashed here. */
  readonly sha256: string;
}

export interface Download extends Outcome {
  readonly files: readonly DownloadedFile[];
}

/** Checks Date and Valid-Until; every warning about a source is a failure. One call at a time. */
export interface Client {
  /** `apt 2.6.1` or `built-in client`, as the demo prints it. */
  readonly name: string;
  /**
   * Fetches the Release set and every index; with `fresh`, deletes all lists first. After a failure
   * the lists are as before.
   */
  update(options: { readonly fresh: boolean }): Promise<Outcome>;
  /** Names of all packages in the lists. */
  packages(): Promise<string[]>;
  /** The newest version in the lists; null: the package is not in them. */
  versionOf(name: string): Promise<string | null>;
  /** Downloads the newest version of each of these packages and hashes the files. */
  download(names: readonly string[]): Promise<Download>;
  /** Downloads all packages that an installation needs, dependencies too; installs nothing. */
  installDownloadOnly(name: string): Promise<Download>;
}

export interface ClientOptions {
  /** Root of the archive at the site, as in sources.list. */
  readonly url: string;
  /** As in sources.list: with a slash at its end it is the folder of a flat archive. */
  readonly suite: string;
  /** Empty for a flat archive. */
  readonly components: readonly string[];
  readonly architecture: string;
  /** Whether there is a line deb-src, for the lists of sources. Default true. */
  readonly sources?: boolean;
  /** Binary. null: everything is trusted, as with `trusted=yes`. */
  readonly keyring: Uint8Array | null;
  /** A folder of the client's own. */
  readonly folder: string;
}

/** How much of a failed command's output is kept. */
export const OUTPUT_CHARACTERS = 4_000;
