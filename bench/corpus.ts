/** Signed archives of a known shape, made once and kept in the cache folder. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A part of the name of every corpus: another number makes all of them anew. */
const VERSION = 1;
const MAKER = fileURLToPath(new URL('make-corpus.ts', import.meta.url));

/**
 * What make-corpus.ts is told; the same plan always makes the same packages (keys and signatures
 * differ).
 */
export interface CorpusPlan {
  readonly name: string;
  /**
   * `real`: from the machine's own Debian mirror; else made up, of this many bytes each, the .deb
   * included.
   */
  readonly packages:
    | { readonly real: number }
    | { readonly made: number; readonly bytes: readonly [number, number] };
  /**
   * The packages are divided among so many suites of one archive, `s1`, `s2`, …; one unless given.
   */
  readonly suites?: number;
  /**
   * Further releases, each of which changes this part of the packages, but at least one in each
   * suite.
   */
  readonly releases?: number;
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

/**
 * Throws with what the maker said when it could not be made: for `real` when the mirror does not
 * answer.
 */
export async function openCorpus(plan: CorpusPlan, say: (line: string) => void): Promise<Corpus> {
  const folder = join(cacheFolder(), `${plan.name}-v${VERSION}`);
  const manifest = join(folder, 'corpus.json');
  if (!existsSync(manifest)) {
    say(`makes the corpus ${plan.name}, once: ${folder}`);
    await make(plan, folder);
  }
  const made = JSON.parse(readFileSync(manifest, 'utf8')) as Pick<
    Corpus,
    'suites' | 'files' | 'releases'
  >;
  return { name: plan.name, folder, keyring: join(folder, 'keyring.gpg'), ...made };
}

/** In a process of its own: all packages are in memory while it works. */
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
