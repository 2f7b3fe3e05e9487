/**
 * Tries a site with one small blob below `.debgeo/`: writes it, reads it back, asks the storage
 * about it, reads it anonymously, deletes it.
 */
import { randomBytes } from 'node:crypto';

import type { JoinedDeps } from '../../deps.ts';
import { DebgeoError } from '../../domain/errors.ts';
import { parseRepoPath, type RepoPath } from '../../domain/repo-path.ts';
import { sha256Of } from '../../domain/sha256.ts';
import type { SiteJudgement } from '../../site/judge-site.ts';
import { readPublic } from '../../site/read-public.ts';
import type { Findings } from './findings.ts';
import { DEADLINE_MS, within } from './within.ts';

export async function examineSite(
  findings: Findings,
  deps: JoinedDeps,
  site: string,
): Promise<void> {
  const seen: { judgement: SiteJudgement | null } = { judgement: null };
  await findings.check(
    `site ${site}`,
    () =>
      within(
        () => new DebgeoError('SITE_STALLED', `site ${site} did not answer in time`),
        (until) =>
          tryOut(
            deps,
            site,
            until,
            async (path, signal) =>
              void (seen.judgement = await deps.inspectSite(site, path, signal)),
          ),
      ),
    () => 'writes, reads back, serves anonymously, deletes',
  );
  if (seen.judgement === null) return;
  const { wrong, notes, summary } = seen.judgement;
  const what = `storage of ${site}`;
  for (const report of wrong) findings.wrong(what, report);
  if (wrong.length === 0) findings.ok(what, summary === '' ? 'says nothing of itself' : summary);
  for (const note of notes) findings.note(what, note);
}

async function tryOut(
  deps: JoinedDeps,
  name: string,
  signal: AbortSignal,
  look: (path: RepoPath, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { store, publicUrl } = await deps.siteOf(name);
  const bytes = randomBytes(64);
  const path = parseRepoPath(`.debgeo/doctor-${bytes.toString('hex', 0, 8)}`);
  const content = {
    size: bytes.length,
    sha256: sha256Of(bytes),
    bytes: (async function* () {
      yield bytes;
    })(),
    contentType: 'application/octet-stream',
    cacheControl: 'no-store',
  };
  const written = await store.put(path, content, 'nothing', signal);
  if (written === 'conflict') throw new DebgeoError('FOREIGN_WRITE', `${path} exists already`);
  try {
    await look(path, signal);
    const back = await store.checksum(path, signal);
    if (back === null || back === 'changed' || back.sha256 !== content.sha256)
      throw new DebgeoError('SITE_REFUSED', 'what was written is not what is read back');
    const seen = await readPublic(publicUrl, path, bytes.length, signal);
    if (seen?.sha256 !== content.sha256)
      throw new DebgeoError('SITE_NOT_PUBLIC', 'the public URL does not serve what was written', {
        expected: content.sha256,
        found: seen?.sha256 ?? '404',
      });
  } finally {
    // With a deadline of its own: the other may have passed.
    await store.remove(path, written.etag, AbortSignal.timeout(DEADLINE_MS));
  }
}
