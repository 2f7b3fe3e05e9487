import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';

import {
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  SASProtocol,
} from '@azure/storage-blob';

import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { SasToken } from '../../src/site/credentials.ts';
import { inspectAzureSite, type SiteFacts } from '../../src/site/inspect-site.ts';
import { judgeSite } from '../../src/site/judge-site.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';

const SITE = {
  name: 'fra',
  accountUrl: 'https://aptfra.blob.core.windows.net',
  container: 'apt',
  prefix: 'mirrors',
};
const seenOf = <T>(fact: { seen: T } | { notSeen: string }): T => {
  assert.ok('seen' in fact);
  return fact.seen;
};

/** A new general-purpose account with a container for apt. */
const GOOD = {
  container: {
    seen: {
      publicAccess: 'blob',
      immutabilityPolicy: false,
      legalHold: false,
      versionLevelImmutability: false,
    },
  },
  account: { seen: { kind: 'StorageV2', sku: 'Standard_ZRS', hierarchical: false } },
  service: { seen: { softDeleteDays: null } },
  blob: { seen: { versionId: null, tier: 'Hot', immutableUntil: null, legalHold: false } },
} as const satisfies SiteFacts;

const judged = (part: Partial<SiteFacts>) => judgeSite(SITE, { ...GOOD, ...part });

describe('the judgement of a site', () => {
  it('finds nothing wrong with a plain account, and says what it cannot see', () => {
    const { wrong, notes } = judged({});

    assert.deepEqual(wrong, []);
    assert.equal(notes.length, 1);
    assert.match(
      notes[0]!,
      /^lifecycle .*management-policy show --account-name aptfra .*apt\/mirrors\/$/,
    );
  });

  for (const [what, part, types] of [
    [
      'an immutability policy',
      { container: { seen: { ...GOOD.container.seen, immutabilityPolicy: true } } },
      /immutability-policy delete --account-name aptfra/,
    ],
    [
      'a legal hold',
      { container: { seen: { ...GOOD.container.seen, legalHold: true } } },
      /legal-hold clear --account-name aptfra/,
    ],
    [
      'a default immutability of versions',
      { blob: { seen: { ...GOOD.blob.seen, immutableUntil: 1_800_000_000_000 } } },
      /no default immutability policy/,
    ],
    ['a blob that is held', { blob: { seen: { ...GOOD.blob.seen, legalHold: true } } }, /no hold/],
    ['the archive tier', { blob: { seen: { ...GOOD.blob.seen, tier: 'Archive' } } }, /Hot/],
    [
      'an account for files',
      { account: { seen: { ...GOOD.account.seen, kind: 'FileStorage' } } },
      /StorageV2/,
    ],
  ] satisfies [string, Partial<SiteFacts>, RegExp][])
    it(`${what} is wrong, and it says what to type`, () => {
      const { wrong } = judged(part);

      assert.equal(wrong.length, 1);
      assert.equal(wrong[0]!.code, 'SITE_REFUSED');
      assert.match(wrong[0]!.expected!, types);
    });

  for (const [what, part, says] of [
    [
      'versioning',
      { blob: { seen: { ...GOOD.blob.seen, versionId: '2026-11-23T00:00:00.0000000Z' } } },
      /--enable-versioning false/,
    ],
    ['soft delete', { service: { seen: { softDeleteDays: 7 } } }, /7 days.*delete-policy update/],
    ['a cold tier', { blob: { seen: { ...GOOD.blob.seen, tier: 'Cold' } } }, /--access-tier Hot/],
    [
      'a hierarchical namespace',
      { account: { seen: { ...GOOD.account.seen, hierarchical: true } } },
      /hierarchical/,
    ],
    [
      'a listing for all',
      { container: { seen: { ...GOOD.container.seen, publicAccess: 'container' } } },
      /set-permission/,
    ],
    [
      'immutability that is possible',
      { container: { seen: { ...GOOD.container.seen, versionLevelImmutability: true } } },
      /immutability/,
    ],
    [
      'what the credential may not ask',
      { service: { notSeen: '403 AuthorizationPermissionMismatch' } },
      /not seen \(403 AuthorizationPermissionMismatch\)/,
    ],
  ] satisfies [string, Partial<SiteFacts>, RegExp][])
    it(`${what} is a note and no fault`, () => {
      const { wrong, notes } = judged(part);

      assert.deepEqual(wrong, []);
      assert.equal(notes.length, 2);
      assert.match(notes[0]!, says);
    });
});

describe('inspectAzureSite', () => {
  const PATH = parseRepoPath('.debgeo/doctor-test');
  let azurite: AzuriteSite;
  before(async () => {
    azurite = await startAzuriteSite();
  });
  after(() => azurite?.stop());

  const written = async () => {
    const container = await azurite.container();
    await container.getBlockBlobClient(`eu/${PATH}`).upload('x', 1);
    return {
      container,
      place: {
        name: 'fra',
        accountUrl: azurite.accountUrl,
        container: container.containerName,
        prefix: 'eu',
      },
    };
  };

  it('sees the container, the account, the service and a blob with an account key', async () => {
    const { place } = await written();

    const facts = await inspectAzureSite(
      place,
      azurite.credential,
      PATH,
      AbortSignal.timeout(10_000),
    );

    assert.equal(seenOf(facts.account).kind, 'StorageV2');
    assert.deepEqual(seenOf(facts.blob), {
      versionId: null,
      tier: 'Hot',
      immutableUntil: null,
      legalHold: false,
    });
    assert.deepEqual(seenOf(facts.container).immutabilityPolicy, false);
    assert.deepEqual(judgeSite(place, facts).wrong, []);
  });

  it('sees less with a SAS of the container, shows none of it, and finds no fault', async () => {
    const { container, place } = await written();
    const permissions = ContainerSASPermissions.parse('racwd');
    const expiresOn = new Date(Date.now() + 3_600_000);
    const sas = generateBlobSASQueryParameters(
      {
        containerName: container.containerName,
        permissions,
        expiresOn,
        protocol: SASProtocol.HttpsAndHttp,
      },
      azurite.credential,
    );

    const facts = await inspectAzureSite(
      place,
      new SasToken(sas.toString()),
      PATH,
      AbortSignal.timeout(10_000),
    );

    assert.ok('seen' in facts.blob && 'notSeen' in facts.service);
    const judgement = judgeSite(place, facts);
    assert.deepEqual(judgement.wrong, []);
    assert.ok(!inspect([facts, judgement], { depth: Infinity }).includes(sas.signature));
  });

  it('sees nothing of a site that does not answer, and does not fail', async () => {
    const facts = await inspectAzureSite(
      { name: 'fra', accountUrl: 'http://127.0.0.1:1/fra', container: 'apt', prefix: '' },
      azurite.credential,
      PATH,
      AbortSignal.timeout(10_000),
    );

    assert.deepEqual(
      Object.values(facts).map((fact) => 'notSeen' in fact),
      [true, true, true, true],
    );
  });
});
