/** Signed archives of a known shape, made once and kept in the cache folder. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Part of the name of every corpus: another number has all of them made anew. */
const VERSION = 1;
const MAKER = fileURLToPath(new URL('make-corpus.ts', import.meta.url));

/** What make-corpus.ts makes: the same packages every time; keys and signatures differ. */
export interface CorpusPlan {
  readonly name: string;
  /**
   * `real`: so many from the Debian mirror of this machine. `made`: so many made up, each .deb of
   * so many bytes, from the least to the most.
   */
  readonly packages:
    | { readonly real: number }
    | { readonly made: number; readonly bytes: readonly [number, number] };
  /** The packages are divided among so many suites of one archive: `s1`, `s2`, …. Default 1. */
  readonly suites?: number;
  /** Further releases. Default none. */
  readonly releases?: number;
  /** The part of the packages that each of them changes, at least one per suite. Default 0.01. */
  readonly changed?: number;
}

export interface CorpusFile {
  /** Below the root of the archive. */
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

export interface Corpus {
  readonly name: string;
  readonly folder: string;
  readonly keyring: string;
  readonly suites: readonly string[];
  /** What the first release consists of. */
  readonly files: readonly CorpusFile[];
  /** What each further release changes, in order. */
  readonly releases: readonly (readonly CorpusFile[])[];
}

export const cacheFolder = (): string =>
  join(
    process.env['DEBGEO_CACHE_DIR'] ||
      join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'debgeo'),
    'bench',
  );

/** @throws Error with what the maker printed, as when the mirror for `real` does not answer */
export async function openCorpus(plan: CorpusPlan, say: (line: string) => void): Promise<Corpus> {
  const folder = join(cacheFolder(), `${plan.name}-v${VERSION}`);
  const manifest = join(folder, 'corpus.json');
  if (!existsSync(manifest)) {
    say(`making the corpus ${plan.name}, once: ${folder}`);
    await make(plan, folder);
  }
  const made = JSON.parse(readFileSync(manifest, 'utf8')) as Pick<
    Corpus,
    'suites' | 'files' | 'releases'
  >;
  return { name: plan.name, folder, keyring: join(folder, 'keyring.gpg'), ...made };
}

/** In a process of its own, because the maker holds all packages in memory. */
async function make(plan: CorpusPlan, folder: string): Promise<void> {
  const maker = spawn(process.execPath, [MAKER, JSON.stringify({ plan, folder })], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let said = '';
  maker.stderr
    .setEncoding('utf8')
    .on('data', (text: string) => (said = (said + text).slice(-2_000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    maker.once('error', reject);
    maker.once('close', resolve);
  });
  if (code !== 0) throw new Error(said.trim() || `the maker of corpora ended with ${code}`);
}
