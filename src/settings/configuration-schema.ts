/**
 * The keys of the file that `debgeo apply` reads, each with its form, default and meaning, which
 * docs/configuration.md shows. Unknown keys are refused: a misspelt key would be silence otherwise.
 */
import { z } from 'zod';

import { folderOf } from '../archive/directory-archive.ts';
import { LIMITS } from '../domain/limits.ts';
import { parseRepoPath } from '../domain/repo-path.ts';
import { login, LOGIN_FORM, secret } from './login-schema.ts';

/** Names become workflow ids, task queues and folders. */
const NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
export const name = z
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
    '`absent` removes it from debgeo; what was copied stays at the sites. An entry that is only' +
      ' left out of the file stays as it is.',
  );
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'an http or https URL' })
  .refine(
    isBare,
    'a URL without user, password, query (a SAS) and fragment: URLs are stored and shown;' +
      ' sites name a `credential`',
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

const DURATION = /^(\d+)(s|m|h|d)$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
function msOf(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return Number(count) * (UNIT_MS[unit ?? ''] ?? NaN);
}
const duration = (least: string, most: string) =>
  z
    .string()
    .regex(DURATION, 'a duration like 30s, 10m, 6h or 1d')
    .transform(msOf)
    .refine((ms) => ms >= msOf(least) && ms <= msOf(most), `between ${least} and ${most}`)
    .meta({ form: `duration from \`${least}\` to \`${most}\`: a number and s, m, h or d` });

const archive = z.strictObject({
  url: archiveUrl.describe(
    'Where the archive is: the folder that has `dists/` and `pool/`. With `file:` it is a folder' +
      ' that every worker has at this path.',
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
        'Folder of the archive on every site: clients write `<public_url>/<mount>` into' +
        ' sources.list. It cannot change once a snapshot was captured.',
    }),
  keyring: z
    .string()
    .min(1)
    .optional()
    .meta({
      form: 'path, from the folder of this file',
      description:
        'OpenPGP certificates that may sign a release, armored or binary. Either this or' +
        ' `unsigned`. `apply` reads it.',
    }),
  unsigned: z
    .literal(true)
    .optional()
    .describe('Accepts the archive without any signature, on purpose.'),
  redirect_origins: z
    .array(httpUrl)
    .default([])
    .meta({ unset: '`[]`', description: 'Other origins that the archive may redirect to.' }),
  login: login.optional().meta({
    form: LOGIN_FORM,
    unset: 'the archive is read without a login',
    description:
      'Who reads the archive. It goes to the origin of `url` only, never along a redirect. NAME' +
      ' begins with `DEBGEO_`. The worker reads the secret when it needs it and stores it' +
      ' nowhere.',
  }),
  ca: z
    .string()
    .min(1)
    .optional()
    .meta({
      form: 'path, from the folder of this file',
      unset: 'those alone that Node trusts',
      description:
        'Certificates, PEM, that may have signed those of the archive and of its redirects,' +
        ' beside those that Node trusts (of Mozilla, and of `NODE_EXTRA_CA_CERTS`).' +
        ' `apply` reads them.',
    }),
  private_network: z
    .boolean()
    .default(false)
    .describe(
      'The archive, and where it redirects to, may have a loopback or private address. Link-local' +
        ' addresses and those of cloud metadata are refused always.',
    ),
  insecure: z
    .boolean()
    .default(false)
    .describe('With `private_network`: the login may go over http, where everybody can read it.'),
});

const site = z.strictObject({
  account_url: httpUrl.describe(
    'Blob endpoint of the storage account. It cannot change once a snapshot was captured.',
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
        'The container must exist. Its blobs must be readable anonymously, there or through a' +
        ' front end at `public_url`.',
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
      description: 'Folder in the container that debgeo writes below.',
    }),
  public_url: httpUrl.optional().meta({
    unset: '`<account_url>/<container>/<prefix>`',
    description: 'Where clients read the folder `prefix`: a front end, or the container itself.',
  }),
  credential: z
    .union([secret, z.literal('default').transform((identity) => ({ identity }))], {
      error: '{env: NAME}, {file: PATH} or default',
    })
    .meta({
      form: '`{env: NAME}`, `{file: PATH}` or `default`',
      description:
        'Where the worker finds a connection string, `AccountName=…;AccountKey=…` or a SAS.' +
        ' NAME begins with `DEBGEO_`.' +
        " `default` is Azure's default identity (a managed identity, for one), over https." +
        ' The worker reads the secret when it needs it and stores it nowhere.',
    }),
  worker_group: name.optional().meta({
    unset: 'the name of the site',
    description: 'Sites of one group share the task queue `debgeo-site-<group>`.',
  }),
  grace: duration('1m', '30d')
    .prefault('36h')
    .describe(
      'How long a snapshot that this site stopped serving stays whole: clients keep older' +
        ' indices for a day and more.',
    ),
  keep: z.int().min(1).max(1_000).default(2).meta({
    form: 'whole number from 1',
    description:
      'How many of the newest snapshots that this site served stay whole, however old they are.',
  }),
  prune: duration('1m', '7d')
    .prefault('1h')
    .describe('How often this site deletes what no kept snapshot names.'),
  scrub: z
    .union([z.literal('off').transform(() => null), duration('1h', '365d')], {
      error: 'off, or a duration between 1h and 365d',
    })
    .prefault('30d')
    .meta({
      form: '`off`, or a duration from `1h` to `365d`: a number and s, m, h or d',
      description:
        'Within how long all of this site is read back, judged and repaired, again and again.' +
        ' `apply` and `doctor` say how many bytes that is.',
    }),
  bytes_per_second: z.int().min(65_536, 'at least 65536').optional().meta({
    form: 'number of bytes, at least 65536',
    unset: 'no limit',
    description: 'Limit of what each worker sends to and reads from the site, taken together.',
  }),
  state,
});

const distribution = z.strictObject({
  archive: name.describe('One of `archives`.'),
  suite: words.describe(
    'Path below `dists/`, or for a flat archive a folder that ends in `/` (`/` is the root,' +
      ' `./` is refused). It cannot change once a snapshot was captured.',
  ),
  components: z
    .array(words)
    .default([])
    .describe('Empty: all that Release names. A flat archive has none.'),
  architectures: z
    .array(words)
    .default([])
    .describe(
      'Empty: all that Release names. `all` comes with every other; `source` comes only when it' +
        ' is named.',
    ),
  sites: z.array(name).min(1).describe('At least one of `sites`.'),
  primary: name.optional().meta({
    unset: 'the first of `sites`',
    description: 'The site that is advertised to clients, and the first source of repair.',
  }),
  poll: duration('5s', '7d')
    .prefault('10m')
    .describe('How often debgeo looks at the archive by itself.'),
  accept_undated: z
    .boolean()
    .default(false)
    .describe('Accepts a Release without Date. debgeo cannot notice a rollback then.'),
  stale_after: duration('1m', '3650d')
    .optional()
    .meta({
      unset: 'no age is too old',
      description:
        'Shows the incident `RELEASE_STALE` while the Date of the newest release is further back' +
        ' than this: an attacker or a broken mirror may hold newer releases back, and Valid-Until' +
        ' is optional. Set it longer than `poll`, and a bit longer than the archive ever goes' +
        ' without a release (`2d` for sid, months for a stable suite).',
    }),
  state,
});

export const SECTIONS = { archives: archive, sites: site, distributions: distribution };

export type ArchiveEntry = z.output<typeof archive>;
export type SiteEntry = z.output<typeof site>;
export type DistributionEntry = z.output<typeof distribution>;

export function isRepoPath(text: string): boolean {
  try {
    return parseRepoPath(text) === text;
  } catch {
    return false;
  }
}

/** True also of what is no URL at all: that is another fault. */
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
