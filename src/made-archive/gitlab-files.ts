/**
 * The files of the Debian package registry by their path. Read from gitlabhq:
 * `lib/api/concerns/packages/debian_package_endpoints.rb`, `lib/api/debian_project_packages.rb`,
 * `lib/api/debian_group_packages.rb`.
 */
import type { DebianDistribution, IndexName } from './gitlab-distribution.ts';
import type { Container } from './gitlab-registry.ts';
import { hashOf } from './release-files.ts';

/** Which files are in object storage with direct download, and so are answered by a redirect. */
export type Stored = 'indices' | 'releases' | 'pool';

export interface FoundFile {
  readonly status: 200;
  readonly bytes: Uint8Array;
  readonly modifiedMs: number;
  readonly stored: Stored;
  /** Under which object storage keeps it: names exactly these bytes, but for the Release set. */
  readonly key: string;
}

/** Of the database, and so never redirected. */
export interface FoundText {
  readonly status: 200 | 201;
  readonly text: string;
  readonly type: string;
}

/** With the message that Grape makes JSON of. */
export interface NotFound {
  readonly status: number;
  readonly message?: string;
}

export const NOT_FOUND: NotFound = { status: 404, message: '404 Not Found' };
/** `no_content!`: what is empty has no row, or one without bytes. */
export const NO_CONTENT: NotFound = { status: 204 };
const EMPTY_SHA256 = hashOf('SHA256', new Uint8Array());

export function fileAt(container: Container, path: string): FoundFile | FoundText | NotFound {
  const [, place, name, rest] = /^(dists|pool)\/([^/]+)\/(.*)$/s.exec(path) ?? [];
  // By codename or suite (`with_codename_or_suite`).
  const distribution = [...container.distributions.values()].find(
    ({ codename, suite }) => codename === name || suite === name,
  );
  if (distribution === undefined || rest === undefined) return NOT_FOUND;
  if (place === 'pool') return poolFile(distribution, rest, container.isGroup);
  if (/^(InRelease|Release|Release\.gpg)$/.test(rest)) return releaseFile(distribution, rest);
  return indexFile(distribution, rest);
}

/** Release and InRelease are overwritten in place, so their key stays; Release.gpg is text. */
function releaseFile({ codename, releaseSet }: DebianDistribution, name: string) {
  if (releaseSet === null) return NOT_FOUND;
  const { release, inRelease, signature, generatedAt } = releaseSet;
  if (name === 'Release.gpg') return { status: 200, text: signature, type: 'text/plain' } as const;
  return {
    status: 200,
    bytes: Buffer.from(name === 'Release' ? release : inRelease),
    modifiedMs: generatedAt,
    stored: 'releases',
    key: `dists/${codename}/${name}`,
  } as const;
}

/** `present_index_file!`: uncompressed, by SHA-256 or by name. */
function indexFile(distribution: DebianDistribution, path: string): FoundFile | NotFound {
  const [, component, installer, architecture, name, format, sha256] =
    /^([^/]+)\/(debian-installer\/)?(?:binary-([^/]+)|source)\/(?:(Packages|Sources)(?:\.(\w+))?|by-hash\/SHA256\/([0-9a-f]{64}))$/.exec(
      path,
    ) ?? [];
  if (component === undefined || (name !== undefined && (name === 'Sources') === !!architecture))
    return NOT_FOUND;
  if (format !== undefined)
    return { status: 404, message: `404 Format ${format} is not supported Not Found` };
  // "Empty component files are not persisted in DB"
  if (sha256 === EMPTY_SHA256) return NO_CONTENT;
  const index: IndexName =
    architecture === undefined
      ? { component, kind: 'sources', architecture: null }
      : { component, kind: installer ? 'di_packages' : 'packages', architecture };
  const row =
    sha256 === undefined ? distribution.newest(index) : distribution.byHash(index, sha256);
  if (row === null) return sha256 === undefined ? NO_CONTENT : NOT_FOUND;
  const folder = path.replace(/(by-hash\/SHA256\/)?[^/]+$/, '');
  return {
    status: 200,
    bytes: row.bytes,
    modifiedMs: row.createdAt,
    stored: 'indices',
    key: `dists/${distribution.codename}/${folder}by-hash/SHA256/${row.sha256}`,
  };
}

/**
 * `[<project id>/]<letter>/<package>/<version>/<file>`. The file name alone decides, and the last
 * file of that name; of the rest only the letter is judged (`present_distribution_package_file!`).
 */
function poolFile(
  distribution: DebianDistribution,
  path: string,
  isGroup: boolean,
): FoundFile | NotFound {
  const parts = path.split('/');
  const [projectId, letter, packageName, , fileName] = isGroup ? parts : [null, ...parts];
  if (parts.length !== (isGroup ? 5 : 4) || !packageName?.startsWith(letter ?? '/'))
    return NOT_FOUND;
  const found = distribution.packageFiles.findLast(
    (file) =>
      file.fileName === fileName && (projectId === null || String(file.projectId) === projectId),
  );
  if (found === undefined) return NOT_FOUND;
  return {
    status: 200,
    bytes: found.bytes,
    modifiedMs: found.uploadedAt,
    stored: 'pool',
    key: `${distribution.poolFolderOf(found)}/${found.fileName}`,
  };
}
