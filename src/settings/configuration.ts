/**
 * The file that `debgeo apply` reads: archives, sites and distributions, as maps by name. Every
 * fault is reported at once, each with its line and column, and nothing is changed while there is
 * one. Unknown keys are refused: a misspelt key would be silence otherwise.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { isMap, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';

import { folderOf } from '../archive/directory-archive.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { parseRepoPath } from '../domain/repo-path.ts';

/** Names become workflow ids, task queues and folders. */
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const name = z
  .string()
  .regex(
    NAME,
    'a name is a-z, 0-9, dot and dash, begins with a letter or digit and has at most 63 characters',
  )
  .meta({ form: 'name' });
const words = z.string().min(1).meta({ form: 'text' });
const state = z
  .enum(['present', 'absent'])
  .default('present')
  .describe(
    '`absent` takes it out; what was copied stays at the sites. Leaving it out of the file changes nothing.',
  );
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'an http or https URL' })
  .refine(
    isBare,
    'a URL without user, password, query (a SAS) and fragment: URLs are stored and shown; sites name a `credential`',
  )
  .transform((url) => url.replace(/\/+$/, ''))
  .meta({ form: 'http or https URL' });
const fileUrl = z
  .string()
  .refine(isFolder)
  .transform((url) => url.replace(/(?<!\/)\/+$/, ''));
const archiveUrl = z
  .union([httpUrl, fileUrl], { error: 'an http or https URL, or file:/// and an absolute path' })
  .meta({ form: 'http or https URL, or `file:///PATH`' });
const PATH_FORM = { form: 'relative path' };
const relativePath = z
  .string()
  .refine(isRepoPath, 'a relative path without "..", empty parts or special characters')
  .meta(PATH_FORM);
const UNKNOWN_KEY = 'is not a key that debgeo knows';
const DURATION = /^(\d+)(s|m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const msOf = (text: string): number => {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return Number(count) * (UNIT_MS[unit ?? ''] ?? NaN);
};
const duration = (least: string, most: string) =>
  z
    .string()
    .regex(DURATION, 'a duration like 30s, 10m, 6h or 1d')
    .transform(msOf)
    .refine((ms) => ms >= msOf(least) && ms <= msOf(most), `between ${least} and ${most}`)
    .meta({ form: `duration from \`${least}\` to \`${most}\`: a number and s, m, h or d` });

const archive = z.strictObject({
  url: archiveUrl.describe(
    'Where the archive is: the folder that has `dists/` and `pool/`. `file:` is a folder that every worker has at this path.',
  ),
  mount: relativePath
    .refine(
      (mount) => Buffer.byteLength(mount) <= LIMITS.mountBytes,
      `at most ${LIMITS.mountBytes} bytes`,
    )
    .optional()
    .meta({
      ...PATH_FORM,
      unset: 'the name of the archive',
      description:
        'Folder on every site: `<public_url>/<mount>` is what clients write into sources.list. Never changes once something was captured.',
    }),
  keyring: z.string().min(1).optional().meta({
    form: 'path, from the folder of this file',
    description:
      'OpenPGP certificates that may sign a release, armored or binary. Either this or `unsigned`. Read by `apply`.',
  }),
  unsigned: z
    .literal(true)
    .optional()
    .describe('Accepts the archive without any signature, on purpose.'),
  redirect_origins: z
    .array(httpUrl)
    .default([])
    .meta({ unset: '`[]`', description: 'Other origins that the archive may redirect to.' }),
});
const site = z.strictObject({
  account_url: httpUrl.describe(
    'Blob endpoint of the storage account. Never changes once something was captured.',
  ),
  container: z
    .string()
    .regex(
      /^(\$web|\$root|[a-z0-9](?:-?[a-z0-9]){2,62})$/,
      'a container name of Azure: 3 to 63 of a-z, 0-9 and single dashes',
    )
    .meta({
      form: 'container name of Azure',
      description:
        'The container; it must exist and allow anonymous read of blobs, or have something before it that does.',
    }),
  prefix: z
    .union([z.literal(''), relativePath])
    .refine(
      (prefix) => Buffer.byteLength(prefix) <= LIMITS.prefixBytes,
      `at most ${LIMITS.prefixBytes} bytes`,
    )
    .default('')
    .meta({
      form: 'relative path or empty',
      description: 'Folder in the container that everything is written below.',
    }),
  public_url: httpUrl.optional().meta({
    unset: '`<account_url>/<container>/<prefix>`',
    description:
      'What clients read, and what denotes the prefix: a front door or the container itself.',
  }),
  credential: z
    .union(
      [
        z.strictObject({ env: z.string().min(1) }),
        z.strictObject({ file: z.string().min(1) }),
        z.literal('default').transform((identity) => ({ identity })),
      ],
      { error: '{env: NAME}, {file: PATH} or default' },
    )
    .meta({
      form: '`{env: NAME}`, `{file: PATH}` or `default`',
      description:
        "Where the worker finds a connection string, `AccountName=…;AccountKey=…` or a SAS. `default`: Azure's default identity (managed identity and the like), over https. Read when needed, stored nowhere.",
    }),
  worker_group: name.optional().meta({
    unset: 'the name of the site',
    description: 'Sites of one group share the task queue `debgeo-site-<group>`.',
  }),
  grace: duration('1m', '30d')
    .prefault('36h')
    .describe(
      'How long a snapshot that this site stopped serving stays whole: clients hold older indices for a day and more.',
    ),
  keep: z.int().min(1).max(1_000).default(2).meta({
    form: 'whole number from 1',
    description:
      'Of the snapshots that this site served, so many of the newest stay, however old they are.',
  }),
  prune: duration('1m', '7d')
    .prefault('1h')
    .describe('How often this site deletes what no kept snapshot names.'),
  bytes_per_second: z.int().min(65_536, 'at least 65536').optional().meta({
    form: 'number of bytes, at least 65536',
    unset: 'as fast as it goes',
    description: 'What each worker moves to and from the site, together.',
  }),
  state,
});
const distribution = z.strictObject({
  archive: name.describe('One of `archives`.'),
  suite: words.describe(
    'Path below `dists/`, or for a flat archive a folder that ends in `/` (`/` is the root, `./` is refused). Never changes once something was captured.',
  ),
  components: z
    .array(words)
    .default([])
    .describe('Empty: all that Release names. A flat archive has none.'),
  architectures: z
    .array(words)
    .default([])
    .describe(
      'Empty: all that Release names. `all` comes with every other; `source` comes only when it is named.',
    ),
  sites: z.array(name).min(1).describe('At least one of `sites`.'),
  primary: name.optional().meta({
    unset: 'the first of `sites`',
    description: 'Advertised, and the first source of repair.',
  }),
  poll: duration('5s', '7d')
    .prefault('10m')
    .describe('How often debgeo looks at the archive by itself.'),
  accept_undated: z
    .boolean()
    .default(false)
    .describe('Accepts a Release without Date; a rollback cannot be seen then.'),
  stale_after: duration('1m', '3650d').optional().meta({
    unset: 'no age is too old',
    description:
      'Shows the incident `RELEASE_STALE` while the newest release is older than this, by its Date: somebody may hold newer ones back, and Valid-Until is optional. Longer than `poll`; a bit longer than the longest rest of the archive (`2d` for sid, months for a stable suite), which debgeo cannot know.',
  }),
  state,
});
export const SECTIONS = { archives: archive, sites: site, distributions: distribution };

/**
 * What is right by itself, by name, and all names: a reference to something that is wrong elsewhere
 * is no second fault.
 */
interface Section<T> {
  readonly entries: ReadonlyMap<string, T>;
  readonly names: ReadonlySet<string>;
}
interface File {
  readonly archives: Section<z.output<typeof archive>>;
  readonly sites: Section<z.output<typeof site>>;
  readonly distributions: Section<z.output<typeof distribution>>;
}
export type SiteConfiguration = Omit<z.output<typeof site>, 'public_url'> & {
  readonly public_url: string;
};
export type ArchiveConfiguration = Omit<
  z.output<typeof archive>,
  'keyring' | 'unsigned' | 'mount'
> & {
  readonly mount: string;
  /** Null: unsigned is accepted, on purpose. */
  readonly keyring: Uint8Array | null;
};
export type DistributionConfiguration = Omit<z.output<typeof distribution>, 'primary'> & {
  readonly primary: string;
};

export interface Configuration {
  readonly archives: Readonly<Record<string, ArchiveConfiguration>>;
  readonly sites: Readonly<Record<string, SiteConfiguration>>;
  readonly distributions: Readonly<Record<string, DistributionConfiguration>>;
}

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Offset in the file, where the YAML itself is broken. */
  readonly offset?: number;
}

/** @throws CONFIG_INVALID with one line per fault: `line:column path: what is expected` */
export const readConfiguration = (path: string): Configuration => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new DebgeoError(
      'CONFIG_INVALID',
      `${path} cannot be read`,
      { expected: 'a YAML file', found: String((error as NodeJS.ErrnoException).code) },
      error,
    );
  }
  return parseConfiguration(text, path);
};

export const parseConfiguration = (text: string, path: string): Configuration => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const faults: Fault[] = document.errors.map((error) => ({
    path: [],
    message: error.message.split('\n')[0] ?? 'broken YAML',
    offset: error.pos[0],
  }));
  if (faults.length === 0) {
    const configuration = complete(
      readFile(document.toJS() ?? {}, faults),
      dirname(resolve(path)),
      faults,
    );
    if (faults.length === 0) return configuration;
  }
  const found = faults
    .map((fault) => ({ ...lines.linePos(fault.offset ?? offsetOf(document, fault.path)), fault }))
    .sort((a, b) => a.line - b.line || a.col - b.col)
    .map(
      ({ line, col, fault }) =>
        `${path}:${line}:${col} ${[...fault.path.map(String), ''].join('.').slice(0, -1)}${fault.path.length > 0 ? ': ' : ''}${fault.message}`,
    );
  throw new DebgeoError(
    'CONFIG_INVALID',
    `${path} has ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`,
    {
      expected: 'archives, sites and distributions as the README describes them',
      found: found.join('\n'),
      state: 'nothing changed',
    },
  );
};

/** Entry by entry, so that one that is wrong hides no fault of another. */
const readFile = (root: unknown, faults: Fault[]): File => {
  const found = z.record(z.string(), z.unknown()).safeParse(root);
  if (!found.success)
    faults.push({ path: [], message: 'expected archives, sites and distributions' });
  const sections = found.data ?? {};
  for (const key of Object.keys(sections))
    if (!Object.hasOwn(SECTIONS, key)) faults.push({ path: [key], message: UNKNOWN_KEY });
  return {
    archives: readSection('archives', archive, sections['archives'], faults),
    sites: readSection('sites', site, sections['sites'], faults),
    distributions: readSection('distributions', distribution, sections['distributions'], faults),
  };
};

const readSection = <S extends z.ZodType>(
  section: string,
  schema: S,
  value: unknown,
  faults: Fault[],
): Section<z.output<S>> => {
  const found = z.record(z.string(), z.unknown()).safeParse(value ?? {});
  if (!found.success) faults.push({ path: [section], message: 'expected a map by name' });
  const entries = new Map<string, z.output<S>>();
  for (const [key, entry] of Object.entries(found.data ?? {})) {
    const named = name.safeParse(key);
    const parsed = schema.safeParse(entry);
    const issues = [...(named.error?.issues ?? []), ...(parsed.error?.issues ?? [])];
    faults.push(
      ...issues
        .flatMap(faultsOf)
        .map((fault) => ({ ...fault, path: [section, key, ...fault.path] })),
    );
    if (parsed.success) entries.set(key, parsed.data);
  }
  return { entries, names: new Set(Object.keys(found.data ?? {})) };
};

/** What the schema cannot say: references, files, and what may not meet. */
const complete = (data: File, folder: string, faults: Fault[]): Configuration => {
  const fault = (path: PropertyKey[], message: string): void => void faults.push({ path, message });

  const archives: Record<string, ArchiveConfiguration> = {};
  for (const [key, { keyring, unsigned, mount = key, ...rest }] of data.archives.entries) {
    if ((keyring === undefined) === (unsigned === undefined))
      fault(['archives', key], 'either a keyring, or unsigned: true on purpose');
    if (rest.url.startsWith('file:') && rest.redirect_origins.length > 0)
      fault(['archives', key, 'redirect_origins'], 'a folder redirects nowhere');
    let bytes: Uint8Array | null = null;
    if (keyring !== undefined)
      try {
        bytes = readFileSync(resolve(folder, keyring));
      } catch (error) {
        fault(
          ['archives', key, 'keyring'],
          `${keyring} cannot be read (${(error as NodeJS.ErrnoException).code})`,
        );
      }
    archives[key] = { ...rest, mount, keyring: bytes };
  }
  const mounts = Object.entries(archives).map(([key, { mount }]) => ({ key, mount: `${mount}/` }));
  for (const one of mounts)
    for (const other of mounts)
      if (one.key !== other.key && one.mount.startsWith(other.mount))
        fault(
          ['archives', one.key, 'mount'],
          `lies in the mount of ${other.key}: two archives never share a folder`,
        );
  for (const { key, mount } of mounts)
    if (mount.startsWith('.debgeo/')) fault(['archives', key, 'mount'], '.debgeo is reserved');

  const sites: Record<string, SiteConfiguration> = {};
  const places = new Map<string, string>();
  for (const [key, { public_url, ...rest }] of data.sites.entries) {
    const place = [
      rest.account_url,
      rest.container,
      ...(rest.prefix === '' ? [] : [rest.prefix]),
    ].join('/');
    const other = places.get(place);
    if (other !== undefined) fault(['sites', key], `is the same place as ${other}`);
    places.set(place, key);
    if ('identity' in rest.credential && !rest.account_url.startsWith('https:'))
      fault(['sites', key, 'credential'], 'an identity is used over https only');
    sites[key] = { ...rest, public_url: public_url ?? place };
  }

  const distributions: Record<string, DistributionConfiguration> = {};
  const suites = new Map<string, string>();
  for (const [key, { primary, ...rest }] of data.distributions.entries) {
    const at = ['distributions', key];
    if (!data.archives.names.has(rest.archive))
      fault([...at, 'archive'], `there is no archive ${rest.archive} in this file`);
    if (rest.suite === './')
      fault(
        [...at, 'suite'],
        'write / here and in sources.list: with ./ apt asks for names that blob storage cannot have',
      );
    else if (!isSuite(rest.suite))
      fault(
        [...at, 'suite'],
        'a suite is a path below dists/, or a folder that ends in / for a flat archive',
      );
    if (rest.suite.endsWith('/') && rest.components.length > 0)
      fault([...at, 'components'], 'a flat archive has no components');
    const suite = `${rest.archive} ${rest.suite}`;
    if (suites.has(suite)) fault([...at, 'suite'], `is replicated as ${suites.get(suite)} already`);
    suites.set(suite, key);
    if (rest.stale_after !== undefined && rest.stale_after <= rest.poll)
      fault(
        [...at, 'stale_after'],
        'is not longer than poll: between two looks every release would be stale',
      );
    rest.sites.forEach((name_, index) => {
      if (!data.sites.names.has(name_))
        fault([...at, 'sites', index], `there is no site ${name_} in this file`);
      else if (sites[name_]?.state === 'absent')
        fault([...at, 'sites', index], `${name_} is absent`);
      if (rest.sites.indexOf(name_) !== index)
        fault([...at, 'sites', index], `${name_} is named twice`);
    });
    if (primary !== undefined && !rest.sites.includes(primary))
      fault([...at, 'primary'], 'the primary is one of the sites');
    distributions[key] = { ...rest, primary: primary ?? rest.sites[0]! };
  }
  return { archives, sites, distributions };
};

function isRepoPath(text: string): boolean {
  try {
    return parseRepoPath(text) === text;
  } catch {
    return false;
  }
}

/** What is no URL at all is told by another fault. */
function isBare(text: string): boolean {
  const url = URL.parse(text);
  return url === null || url.username + url.password + url.search + url.hash === '';
}

function isFolder(text: string): boolean {
  try {
    return folderOf(text) !== '';
  } catch {
    return false;
  }
}

const isSuite = (suite: string): boolean => suite === '/' || isRepoPath(suite.replace(/\/$/, ''));

const faultsOf = (issue: z.core.$ZodIssue): Fault[] =>
  issue.code === 'unrecognized_keys'
    ? issue.keys.map((key) => ({ path: [...issue.path, key], message: UNKNOWN_KEY }))
    : [{ path: issue.path, message: issue.message }];

/**
 * Where the value (or key) at a path begins in the file; for a missing one, where the map begins
 * that should have it.
 */
const offsetOf = (document: Document.Parsed, path: readonly PropertyKey[]): number => {
  for (let depth = path.length; depth > 0; depth--) {
    const map = document.getIn(path.slice(0, depth - 1), true);
    const pair = isMap(map)
      ? map.items.find((item) => String(item.key) === String(path[depth - 1]))
      : undefined;
    const node = (pair?.key ?? document.getIn(path.slice(0, depth), true)) as
      | { range?: readonly number[] }
      | undefined;
    if (node?.range?.[0] !== undefined) return node.range[0];
  }
  return 0;
};
