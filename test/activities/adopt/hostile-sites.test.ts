/** What a site says is judged as an archive is: whoever has a SAS of it could have written it. */
import assert from 'node:assert/strict';
import test, { after, before, beforeEach } from 'node:test';

import { sql } from 'kysely';

import { all, run } from '../../../src/database/sql.ts';
import type { Sha256 } from '../../../src/domain/sha256.ts';
import { createSigningKey } from '../../../src/made-archive/signing-key.ts';
import { encodeHead, encodeRelease, type ReleaseAnchor } from '../../../src/site-format/anchors.ts';
import { decodeHead, decodeRelease } from '../../../src/site-format/decode.ts';
import { headPath, releasePath } from '../../../src/site-format/paths.ts';
import { aPackage, code, startLanes, type Lanes } from '../lane/lanes.ts';
import {
  adopt,
  afterLoss,
  blobsAt,
  inReleaseOf,
  look,
  readBlob,
  rowsOf,
  servedAt,
  writeBlob,
} from './lost.ts';

const AT = { mount: 'debian', suite: 'bookworm' };
const HEAD = headPath(AT);
const IN_RELEASE = inReleaseOf('bookworm');
const STABLE = aPackage('stable', '1.0');

// One site for the tests below; each begins with all that was there, and with a new database.
const closers: (() => Promise<unknown>)[] = [];
const owner = { after: (close: () => Promise<unknown>) => closers.push(close) };
let installed: Lanes;
let lanes: Lanes;
const saved = new Map<string, Buffer>();
before(async () => {
  installed = await startLanes(owner);
  for (const version of ['1.0', '2.0', '3.0'])
    await installed.replicate(await installed.capture([STABLE, aPackage('hello', version)]));
  for (const path of (await blobsAt(installed)).keys())
    saved.set(path, await readBlob(installed, path));
});
beforeEach(async () => {
  const found = await blobsAt(installed);
  for (const path of found.keys())
    if (!saved.has(path)) await installed.site().container.deleteBlob(path);
  for (const [path, bytes] of saved)
    if (!found.has(path) || !(await readBlob(installed, path)).equals(bytes))
      await writeBlob(installed, path, bytes);
  lanes = await afterLoss(owner, installed);
  await look(lanes);
});
after(async () => {
  for (const close of closers) await close();
});

const head = async () => decodeHead(await readBlob(lanes, HEAD), HEAD);
/** R of the release that H names, then of the ones before. */
async function recorded(): Promise<{ digest: Sha256; anchor: ReleaseAnchor }[]> {
  const found = [];
  for (let digest: Sha256 | null = (await head()).release; digest !== null;) {
    const place = releasePath(AT, digest);
    const anchor: ReleaseAnchor = decodeRelease(await readBlob(lanes, place), place);
    found.push({ digest, anchor });
    digest = anchor.previous;
  }
  return found;
}

/** Stores an R, and lets H name it. */
async function plant(anchor: ReleaseAnchor): Promise<Sha256> {
  const { bytes, sha256 } = encodeRelease(anchor);
  await writeBlob(lanes, releasePath(AT, sha256), bytes);
  await writeBlob(lanes, HEAD, encodeHead({ ...(await head()), release: sha256 }).bytes);
  return sha256;
}

/** The suite is refused, and neither the database nor the site changes. */
async function refused(expected: string): Promise<void> {
  const [rows, blobs] = [await rowsOf(lanes.database), await blobsAt(lanes)];
  const indices = 'index_contents';

  const { suites } = await adopt(lanes);

  assert.deepEqual(
    suites.map(({ adopted, refusal }) => adopted ?? refusal!.code),
    [expected],
  );
  const after = await rowsOf(lanes.database);
  for (const table of rows.keys())
    if (table !== indices) assert.equal(after.get(table), rows.get(table), table);
  assert.deepEqual(await blobsAt(lanes), blobs);
}

/** Only what was published after it is adopted. */
async function cutBehind(count: number, expected: string | null): Promise<void> {
  const { suites } = await adopt(lanes);
  const { adopted, refusal } = suites[0]!;
  assert.equal(refusal, null);
  assert.equal(adopted!.releases.length, count);
  assert.equal(adopted!.left?.code ?? null, expected);
  const { row } = await lanes.replicate(adopted!.newest);
  assert.deepEqual([row.served, row.state], [adopted!.newest, 'synced']);
}

const newestDate = async (): Promise<string> => {
  const rows = await all(
    lanes.database.read,
    sql<{ date: string }>`
      select s.date::text as date
      from distribution_snapshots s
      join debian_distributions d on d.id = s.distribution_id
        and d.latest_generation = s.generation`,
  );
  return rows[0]!.date;
};

test('an R with a flipped byte is none', async () => {
  const place = releasePath(AT, (await head()).release);
  const bytes = await readBlob(lanes, place);
  bytes[bytes.length - 3]! ^= 1;
  await writeBlob(lanes, place, bytes);
  await refused('ANCHOR_UNREADABLE');
});

test('an R before it with a flipped byte ends what is adopted', async () => {
  const [, second] = await recorded();
  const place = releasePath(AT, second!.digest);
  const bytes = await readBlob(lanes, place);
  bytes[100]! ^= 1;
  await writeBlob(lanes, place, bytes);
  await cutBehind(1, 'ANCHOR_UNREADABLE');
});

test('an R that was pruned ends it, too, and is no fault', async () => {
  const [, , third] = await recorded();
  await lanes.site().container.deleteBlob(releasePath(AT, third!.digest));
  await cutBehind(2, null);
});

test('an R of another suite or mount is refused', async () => {
  const [first] = await recorded();
  await plant({ ...first!.anchor, suite: 'trixie' });
  await refused('ANCHOR_UNREADABLE');
});

test('an R that another key has signed is refused', async () => {
  const [first] = await recorded();
  const key = await createSigningKey('stranger');
  const { releaseSet } = first!.anchor;
  const text = Buffer.from(releaseSet.release!).toString();
  await plant({
    ...first!.anchor,
    releaseSet: {
      inRelease: Buffer.from(await key.signClear(text)),
      release: releaseSet.release,
      releaseGpg: Buffer.from(await key.signDetached(text)),
    },
  });
  await refused('SIGNATURE_UNKNOWN_KEY');
});

test('a signed Release whose text was changed is refused', async () => {
  const [first] = await recorded();
  const { releaseSet } = first!.anchor;
  const inRelease = Buffer.from(
    Buffer.from(releaseSet.inRelease!)
      .toString()
      .replace(/^Suite: .*$/m, 'Suite: changed'),
  );
  await plant({ ...first!.anchor, releaseSet: { ...releaseSet, inRelease } });
  await refused('SIGNATURE_INVALID');
});

test('an H that leads to no R is refused', async () => {
  const place = releasePath(AT, (await head()).release);
  await lanes.site().container.deleteBlob(place);
  await refused('ADOPT_REFUSED');
});

test('a visible release that no R records is refused', async () => {
  const [, second] = await recorded();
  const { deployment } = await head();
  const { digest, anchor } = second!;
  const older = encodeHead({ ...(await head()), deployment, release: digest });
  await writeBlob(lanes, HEAD, older.bytes);
  assert.ok(anchor.releaseSet.inRelease !== null);
  await refused('ADOPT_REFUSED');
});

test('without S it is refused, and so it is before the archive was looked at', async () => {
  const unlooked = await afterLoss(owner, installed);
  const { suites } = await adopt(unlooked);
  assert.equal(suites[0]!.refusal!.code, 'ADOPT_REFUSED');
  await lanes.site().container.deleteBlob('.debgeo/site.json');
  assert.equal(await adopt(lanes).then(() => 'adopted', code), 'ADOPT_REFUSED');
});

test('a rotten index is fetched again, by its name or of the archive', async () => {
  for (const path of saved.keys())
    if (/by-hash\/SHA256/.test(path)) await lanes.site().container.deleteBlob(path);
  await cutBehind(3, null);
  assert.deepEqual([...(await servedAt(lanes)).keys()].length > 0, true);
});

/** An older release that was rightly signed: H names it, and it is visible, too. */
async function rolledBack(
  planted: (served: number) => Promise<unknown> = async () => undefined,
): Promise<void> {
  const [, , third] = await recorded();
  const before = await newestDate();
  await writeBlob(lanes, IN_RELEASE, Buffer.from(third!.anchor.releaseSet.inRelease!));
  const older = encodeHead({ ...(await head()), release: third!.digest });
  await writeBlob(lanes, HEAD, older.bytes);

  const { suites } = await adopt(lanes);

  const { served, newest } = suites[0]!.adopted!;
  await planted(served);
  assert.ok(served < newest, 'what is visible is older than the newest');
  assert.equal(await newestDate(), before, 'the newest release of the catalog is as it was');
  const { row } = await lanes.replicate(newest);
  assert.deepEqual([row.served, row.state], [newest, 'synced'], 'the site goes forward');
  const shown = await readBlob(lanes, IN_RELEASE);
  assert.deepEqual(shown, saved.get(IN_RELEASE));
}

test('an older release planted as H is never the newest of the catalog', () => rolledBack());

test('it would be seen if what a site serves became the newest', async () => {
  const believing = rolledBack((served) =>
    run(lanes.database.read, sql`update debian_distributions set latest_generation = ${served}`),
  );
  await assert.rejects(believing, { code: 'ERR_ASSERTION', message: /newest release/ });
});

test('a site that serves a later release than the archive is left as it is', async () => {
  const archive = installed.archives.get('bookworm')!;
  await archive.write(installed.released[2]!.files);
  lanes = await afterLoss(owner, installed);
  await look(lanes);
  await archive.write(installed.released[3]!.files);
  await refused('RELEASE_ROLLBACK');
});

test('a site of other suites than those that are configured is left as it is', async () => {
  lanes = await afterLoss(owner, installed, { suites: ['trixie'] });
  const blobs = await blobsAt(lanes);
  assert.equal(await adopt(lanes).then(() => 'adopted', code), 'ADOPT_REFUSED');
  assert.deepEqual(await blobsAt(lanes), blobs);
});

/** R before the last one was signed by a key of the keyring that ended so long after its Date. */
async function signedBefore(endsMs: number): Promise<void> {
  const [third, second] = await recorded();
  const text = Buffer.from(second!.anchor.releaseSet.release!).toString();
  const date = Date.parse(/^Date: (.*)$/m.exec(text)![1]!);
  const created = new Date(date - 3_600_000);
  const key = await createSigningKey('ended', {
    created,
    validForSeconds: 3_600 + endsMs / 1000,
  });
  const keyring = Buffer.concat([lanes.keyring, key.publicBinary]);
  lanes = await afterLoss(owner, installed, { keyring });
  await look(lanes);
  const inRelease = Buffer.from(await key.signClear(text, new Date(date - 120_000)));
  const ended = await plant({
    ...second!.anchor,
    releaseSet: { inRelease, release: null, releaseGpg: null },
  });
  await plant({ ...third!.anchor, previous: ended });
}

test('a release whose key has ended since is adopted', async () => {
  await signedBefore(1_000);
  await cutBehind(3, null);
});

test('one whose key had ended before its Date is not', async () => {
  await signedBefore(-60_000);
  await cutBehind(1, 'SIGNATURE_KEY_EXPIRED');
});
