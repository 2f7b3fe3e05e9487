/**
 * What a client of a site can be asked to do: apt does it, and so does the built-in client where
 * there is no apt.
 */

export interface Outcome {
  /** 0, or 100 as apt-get says it. */
  readonly exitCode: number;
  /** The end of what it printed. */
  readonly output: string;
}

export interface DownloadedFile {
  readonly package: string;
  /** As the file is called in the pool: `hello_1.0_amd64.deb`. */
  readonly name: string;
  readonly size: number;
  /** Of the bytes on disk, hashed by us. */
  readonly sha256: string;
}

export interface Download extends Outcome {
  readonly files: readonly DownloadedFile[];
}

/** Date and Valid-Until are checked, and every warning about a source fails. One call at a time. */
export interface Client {
  /** `apt 2.6.1` or `built-in client`: what the demo prints. */
  readonly name: string;
  /**
   * Fetches the Release set and every index; with `fresh`, all lists are forgotten first. On
   * failure the lists stay as they were.
   */
  update(options: { readonly fresh: boolean }): Promise<Outcome>;
  /** Names of all packages in the lists. */
  packages(): Promise<string[]>;
  /** The newest version in the lists, null if there is none. */
  versionOf(name: string): Promise<string | null>;
  /**
   * Downloads these packages, by their newest versions, and hashes the files; they are not kept.
   */
  download(names: readonly string[]): Promise<Download>;
  /** Resolves dependencies and downloads all that an installation needs; installs nothing. */
  installDownloadOnly(name: string): Promise<Download>;
}

export interface ClientOptions {
  /** Root of the archive as the site serves it: what stands in sources.list. */
  readonly url: string;
  /**
   * As in sources.list: with a slash at its end it is the folder of a flat archive, which has no
   * components.
   */
  readonly suite: string;
  readonly components: readonly string[];
  readonly architecture: string;
  /** Whether the lists of sources are read, too: a line deb-src. They are unless this says no. */
  readonly sources?: boolean;
  /** Binary keyring. Null: anything is trusted, as with `trusted=yes`. */
  readonly keyring: Uint8Array | null;
  /** A folder of the client's own. */
  readonly folder: string;
}

/** How much of a failed command's output is kept. */
export const OUTPUT_CHARACTERS = 4_000;
