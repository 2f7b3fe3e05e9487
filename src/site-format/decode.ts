/**
 * Objects below `.debgeo/`, as a site returns them: bytes that anybody who may write to the site
 * has chosen.
 */
import { z } from 'zod';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { parseRepoPath, type RepoPath } from '../domain/repo-path.ts';
import { isSha256 } from '../domain/sha256.ts';
import { FORMAT, type HeadAnchor, type ReleaseAnchor, type SiteAnchor } from './anchors.ts';

const digest = z.string().refine(isSha256);
const previous = digest.nullable();
const deployment = z.uuid();
const epoch = z.int().min(0);
const format = z.literal(FORMAT);
const words = z.array(z.string().max(LIMITS.pathBytes)).max(LIMITS.releaseEntries);
const file = z
  .base64()
  .transform((text): Uint8Array => Buffer.from(text, 'base64'))
  .nullable();
const path = z.string().refine(isRepoPath, 'a path');
/** `bookworm`, `sub/` and `/`. */
const suite = z.string().refine((text) => text === '/' || isRepoPath(text.replace(/\/$/, '')));

const heads = z.array(z.strictObject({ mount: path, suite })).max(LIMITS.releaseEntries);

const SITE = z.strictObject({ format, deployment, epoch, heads });
/** Those of the first days of the format do not count. */
const pruned = z.int().min(0).default(0);
const HEAD = z.strictObject({ format, deployment, epoch, release: digest, previous, pruned });
const RELEASE = z.strictObject({
  format,
  mount: path,
  suite,
  components: words,
  architectures: words,
  inRelease: file,
  release: file,
  releaseGpg: file,
  absent: z.array(path).max(LIMITS.releaseEntries),
  previous,
});

/** @throws ANCHOR_UNREADABLE */
export function decodeSite(bytes: Uint8Array, place: RepoPath): SiteAnchor {
  const { deployment: id, epoch: restores, heads: named } = decode(SITE, bytes, place);
  return { deployment: { id, epoch: restores }, heads: named };
}

/** @throws ANCHOR_UNREADABLE */
export function decodeHead(bytes: Uint8Array, place: RepoPath): HeadAnchor {
  const { deployment: id, epoch: restores, release, ...head } = decode(HEAD, bytes, place);
  const { previous: before, pruned: prunes } = head;
  return { deployment: { id, epoch: restores }, release, previous: before, pruned: prunes };
}

/** @throws ANCHOR_UNREADABLE */
export function decodeRelease(bytes: Uint8Array, place: RepoPath): ReleaseAnchor {
  const { mount, suite, absent, ...rest } = decode(RELEASE, bytes, place);
  const { components, architectures, inRelease, release, releaseGpg } = rest;
  return {
    mount,
    suite,
    selection: { components, architectures },
    releaseSet: { inRelease, release, releaseGpg },
    absent,
    previous: rest.previous,
  };
}

function decode<Schema extends z.ZodType>(
  schema: Schema,
  bytes: Uint8Array,
  place: RepoPath,
): z.output<Schema> {
  if (bytes.length > LIMITS.anchorBytes)
    throw unreadable(place, `at most ${LIMITS.anchorBytes} bytes`, 'more');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw unreadable(place, 'JSON', String(error));
  }
  // before anything else: what a newer format means by its fields, this version cannot know
  const { data } = z.object({ format: z.int() }).safeParse(value);
  if (data !== undefined && data.format !== FORMAT)
    throw unreadable(place, `format ${FORMAT}`, `format ${data.format}`);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path: where, message } = parsed.error.issues[0]!;
  throw unreadable(place, 'an object of docs/site-format.md', `${where.join('.')}: ${message}`);
}

/** Also of what is too long to be read. */
export const unreadable = (place: RepoPath, expected: string, found: string): DebgeoError =>
  new DebgeoError('ANCHOR_UNREADABLE', `${place} at the site is not what debgeo writes`, {
    expected,
    found,
    state: 'it was left as it is; no published name was changed there, and nothing deleted',
  });

function isRepoPath(text: string): text is RepoPath {
  try {
    return parseRepoPath(text) === text;
  } catch {
    return false;
  }
}
