/**
 * A Debian distribution of GitLab's package registry: the rows of its index files, and what a
 * generation makes of the packages. Read from gitlabhq:
 * `app/services/packages/debian/generate_distribution_service.rb` (what is written),
 * `lib/api/concerns/packages/debian_package_endpoints.rb` (what is found).
 */
import type { PackageFile } from './gitlab-package-files.ts';
import { hashOf } from './release-files.ts';
import type { SigningKey } from './signing-key.ts';

export type IndexKind = 'packages' | 'di_packages' | 'sources';

/** Which index: `architecture` is null for Sources. */
export interface IndexName {
  readonly component: string;
  readonly kind: IndexKind;
  readonly architecture: string | null;
}

/** A row of GitLab's component files; rows are in the order in which they were created. */
export interface IndexRow extends IndexName {
  readonly sha256: string;
  readonly bytes: Uint8Array;
  readonly createdAt: number;
  /** When a generation last named it. */
  updatedAt: number;
}

export interface ReleaseSet {
  readonly release: string;
  /** Release.gpg, which is text in GitLab's database and no file. */
  readonly signature: string;
  readonly inRelease: string;
  readonly generatedAt: number;
}

export interface DistributionOptions {
  readonly codename: string;
  readonly suite?: string;
  /** Default `main`. */
  readonly components?: readonly string[];
  /** Default `all` and `amd64`. */
  readonly architectures?: readonly string[];
}

/** "We consider `apt-get update` can take at most one hour" (generate_distribution_service.rb). */
const KEPT_MS = 3_600_000;
const KINDS: Readonly<Record<PackageFile['kind'], IndexKind | null>> = {
  deb: 'packages',
  udeb: 'di_packages',
  dsc: 'sources',
  source: null,
};
/** METADATA_KEYS of generate_distribution_service.rb, as far as packages of ours have them. */
const FIELDS = [
  ...['Package', 'Source', 'Binary', 'Version', 'Essential', 'Installed-Size', 'Maintainer'],
  ...['Architecture', 'Standards-Version', 'Format', 'Files', 'Checksums-Sha256', 'Checksums-Sha1'],
  ...['Replaces', 'Provides', 'Depends', 'Pre-Depends', 'Recommends', 'Conflicts', 'Description'],
];

export class DebianDistribution {
  readonly codename: string;
  readonly suite: string | null;
  readonly key: SigningKey;
  readonly #components: readonly string[];
  readonly #architectures: readonly string[];
  readonly #packageFiles: () => readonly PackageFile[];
  readonly #isOfGroup: boolean;
  #rows: IndexRow[] = [];
  #releaseSet: ReleaseSet | null = null;

  /** @param packageFiles of the packages that are in it now */
  constructor(
    { codename, suite, components, architectures }: DistributionOptions,
    key: SigningKey,
    isOfGroup: boolean,
    packageFiles: () => readonly PackageFile[],
  ) {
    this.codename = codename;
    this.suite = suite ?? null;
    this.key = key;
    this.#components = (components ?? ['main']).toSorted();
    this.#architectures = (architectures ?? ['all', 'amd64']).toSorted();
    this.#isOfGroup = isOfGroup;
    this.#packageFiles = packageFiles;
  }

  get releaseSet(): ReleaseSet | null {
    return this.#releaseSet;
  }

  get packageFiles(): readonly PackageFile[] {
    return this.#packageFiles();
  }

  /** As the API answers (`doc/api/packages/debian_project_distributions.md`). */
  toJSON(): object {
    return {
      codename: this.codename,
      suite: this.suite,
      components: this.#components,
      architectures: this.#architectures,
    };
  }

  /**
   * Rows younger than an hour stay, and of the older ones those of the newest generation; Release,
   * Release.gpg and InRelease are replaced in one save. Nothing of the pool is in it.
   * @param now in milliseconds
   */
  async generate(now: number): Promise<void> {
    const old = this.#rows.filter(({ updatedAt }) => updatedAt < now - KEPT_MS);
    const oldestKept = old.reduce((newest, { updatedAt }) => Math.max(newest, updatedAt), -1);
    const lines = this.#indexNames().map((name) => this.#lineOf(name, now));
    const release = `${this.#header(now)}SHA256:\n${lines.join('\n')}\n`;
    const at = new Date(now);
    this.#releaseSet = {
      release,
      signature: await this.key.signDetached(release, at),
      inRelease: await this.key.signClear(release, at),
      generatedAt: now,
    };
    this.#rows = this.#rows.filter(({ updatedAt }) => updatedAt >= oldestKept);
  }

  /**
   * The canonical name is the row that was created last (`order_created_asc.last`), which need not
   * be the one that Release lists: an index that comes back only touches its old row.
   * @returns null: there is none, or it has no byte; GitLab answers 204
   */
  newest(name: IndexName): IndexRow | null {
    const row = this.#rowsOf(name).at(-1);
    return row === undefined || row.bytes.length === 0 ? null : row;
  }

  /** @returns null: no generation that is kept has it */
  byHash(name: IndexName, sha256: string): IndexRow | null {
    return this.#rowsOf(name).findLast((row) => row.sha256 === sha256) ?? null;
  }

  /**
   * `pool/<codename>/[<project id>/]<letter>/<package>/<version>`; the letter has four signs after
   * `lib`.
   */
  poolFolderOf({ packageName, version, projectId }: PackageFile): string {
    const letter = packageName.startsWith('lib')
      ? packageName.slice(0, 4)
      : packageName.slice(0, 1);
    const project = this.#isOfGroup ? `${projectId}/` : '';
    return `pool/${this.codename}/${project}${letter}/${packageName}/${version}`;
  }

  #rowsOf({ component, kind, architecture }: IndexName): IndexRow[] {
    return this.#rows.filter(
      (row) =>
        row.component === component && row.kind === kind && row.architecture === architecture,
    );
  }

  #indexNames(): IndexName[] {
    return this.#components.flatMap((component): IndexName[] => [
      ...this.#architectures.flatMap((architecture): IndexName[] => [
        { component, kind: 'packages', architecture },
        { component, kind: 'di_packages', architecture },
      ]),
      { component, kind: 'sources', architecture: null },
    ]);
  }

  /** `reuse_or_create_component_file`: a content that was there before is touched, not created. */
  #lineOf(name: IndexName, now: number): string {
    const bytes = Buffer.from(this.#contentOf(name));
    const sha256 = hashOf('SHA256', bytes);
    const rows = this.#rowsOf(name).toSorted((one, other) => one.updatedAt - other.updatedAt);
    const same = rows.findLast((row) => row.sha256 === sha256);
    // "Do not create empty component file for empty content when there is no last component file or
    // when the last component file is empty too"
    const isStillEmpty = bytes.length === 0 && (rows.at(-1)?.bytes.length ?? 0) === 0;
    if (isStillEmpty) return ` ${sha256} ${'0'.padStart(8)} ${pathOf(name)}`;
    if (same === undefined)
      this.#rows.push({ ...name, sha256, bytes, createdAt: now, updatedAt: now });
    else same.updatedAt = now;
    return ` ${sha256} ${String(bytes.length).padStart(8)} ${pathOf(name)}`;
  }

  #contentOf({ component, kind, architecture }: IndexName): string {
    return this.packageFiles
      .filter(
        (file) =>
          file.component === component &&
          file.architecture === architecture &&
          KINDS[file.kind] === kind,
      )
      .map((file) => (file.kind === 'dsc' ? this.#sourceStanza(file) : this.#binaryStanza(file)))
      .join('\n');
  }

  /** Without MD5sum, "removed for FIPS compliance". */
  #binaryStanza(file: PackageFile): string {
    return writeFields([
      ...FIELDS.map((name) => [name, file.fields.get(name)] as const),
      ...sectionOf(file),
      ['Filename', `${this.poolFolderOf(file)}/${file.fileName}`],
      ['Size', String(file.bytes.length)],
      ['SHA256', hashOf('SHA256', file.bytes)],
    ]);
  }

  /** The .dsc itself comes first in each list, and alone in that of SHA-1. */
  #sourceStanza(file: PackageFile): string {
    const listed = (name: string, algorithm: 'MD5Sum' | 'SHA1' | 'SHA256') =>
      [
        name,
        `\n ${hashOf(algorithm, file.bytes)} ${file.bytes.length} ${file.fileName}` +
          (file.fields.get(name) ?? ''),
      ] as const;
    return writeFields([
      ...FIELDS.map((name) => {
        if (name === 'Files') return listed(name, 'MD5Sum');
        if (name === 'Checksums-Sha256') return listed(name, 'SHA256');
        if (name === 'Checksums-Sha1') return listed(name, 'SHA1');
        return [name === 'Source' ? 'Package' : name, file.fields.get(name)] as const;
      }),
      ...sectionOf(file),
      ['Directory', this.poolFolderOf(file)],
    ]);
  }

  /** Suite only where one is set; the time zone is a number, as Ruby writes RFC 822. */
  #header(now: number): string {
    return writeFields([
      ['Suite', this.suite ?? undefined],
      ['Codename', this.codename],
      ['Date', new Date(now).toUTCString().replace('GMT', '+0000')],
      ['Acquire-By-Hash', 'yes'],
      ['Architectures', this.#architectures.join(' ')],
      ['Components', this.#components.join(' ')],
    ]);
  }
}

/** Relative to the folder of the suite; never compressed. */
function pathOf({ component, kind, architecture }: IndexName): string {
  if (kind === 'sources') return `${component}/source/Sources`;
  const folder = kind === 'di_packages' ? 'debian-installer/' : '';
  return `${component}/${folder}binary-${architecture}/Packages`;
}

const sectionOf = ({ fields }: PackageFile) =>
  [
    ['Section', fields.get('Section') ?? 'misc'],
    ['Priority', fields.get('Priority') ?? 'extra'],
  ] as const;

/** Fields without a value are left out. */
const writeFields = (fields: readonly (readonly [string, string | undefined])[]): string =>
  fields
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name}:${value!.startsWith('\n') ? '' : ' '}${value}\n`)
    .join('');
