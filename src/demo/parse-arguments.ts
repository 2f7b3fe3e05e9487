/** The arguments of `npm run demo -- …`; all faults at once, before anything starts. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

export const USAGE = `\
usage: npm run demo [-- --keep]
       npm run demo -- --gitlab [--keep]
       npm run demo -- --archive URL|DIR --suite S (--keyring FILE | --unsigned)
                       [--component C …] [--architecture A …] [--keep]`;

/** An archive of another owner. */
export interface ForeignArchive {
  /** `http:`, `https:` or `file:`. */
  readonly url: string;
  readonly suite: string;
  /** The bytes of the file; null: `--unsigned`. */
  readonly keyring: Uint8Array | null;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
}

const DOTTED =
  '--suite ./ is replicated as /, which is the same folder; write / into sources.list too: ' +
  'with ./ apt asks for names that blob storage cannot have';

export interface Arguments {
  readonly keep: boolean;
  /** The demo's own archive is a GitLab. */
  readonly gitlab: boolean;
  /** null: the demo makes an archive of its own. */
  readonly foreign: ForeignArchive | null;
  /** What the demo reads in another way than it was written. */
  readonly remarks: readonly string[];
}

/** @returns the arguments, or their faults */
export function parseArguments(args: readonly string[]): Arguments | readonly string[] {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        keep: { type: 'boolean', default: false },
        gitlab: { type: 'boolean', default: false },
        archive: { type: 'string' },
        suite: { type: 'string' },
        keyring: { type: 'string' },
        unsigned: { type: 'boolean', default: false },
        component: { type: 'string', multiple: true, default: [] },
        architecture: { type: 'string', multiple: true, default: [] },
      },
    }));
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  const {
    keep,
    gitlab,
    archive,
    suite,
    keyring: keyringFile,
    unsigned,
    component: components,
    architecture: architectures,
  } = values;
  const isOwn =
    archive === undefined && suite === undefined && keyringFile === undefined && !unsigned;
  if (isOwn && components.length + architectures.length === 0)
    return { keep, gitlab, foreign: null, remarks: [] };
  if (gitlab) return ['--gitlab makes a GitLab of its own: leave out what names another archive'];

  const faults: string[] = [];
  if (!archive) faults.push('--archive URL|DIR is missing');
  if (!suite) faults.push('--suite S is missing');
  if (keyringFile === undefined && !unsigned)
    faults.push('--keyring FILE is missing (or --unsigned, for an archive without a signature)');
  if (keyringFile !== undefined && unsigned)
    faults.push('--keyring and --unsigned exclude each other');
  const url = archive ? urlOf(archive) : null;
  if (archive && url === null)
    faults.push(`--archive ${archive} is neither http, https nor a folder`);
  if (architectures.length > 0 && architectures.every((one) => one === 'all' || one === 'source'))
    faults.push('one --architecture must be that of a machine: a client reads what is copied');
  const keyring = keyringFile === undefined ? null : readKeyring(keyringFile);
  if (typeof keyring === 'string') faults.push(keyring);
  if (faults.length > 0 || !suite || url === null || typeof keyring === 'string') return faults;

  const isDotted = suite === './';
  return {
    keep,
    gitlab,
    foreign: { url, suite: isDotted ? '/' : suite, keyring, components, architectures },
    remarks: isDotted ? [DOTTED] : [],
  };
}

/** npm runs scripts in the folder of the package; INIT_CWD is the folder in which it was called. */
const pathOf = (path: string): string => resolve(process.env['INIT_CWD'] ?? '.', path);

function urlOf(archive: string): string | null {
  if (/^(https?|file):\/\//i.test(archive)) return archive;
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(archive) ? null : pathToFileURL(pathOf(archive)).href;
}

function readKeyring(file: string): Uint8Array | string {
  try {
    return readFileSync(pathOf(file));
  } catch (error) {
    return `--keyring ${file} cannot be read (${String((error as NodeJS.ErrnoException).code)})`;
  }
}
