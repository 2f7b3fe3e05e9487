/**
 * What an Azure container and its account say about themselves where only the data plane is asked,
 * and what that means for copies of an archive. Sources: the REST reference of Get Container
 * Properties, Get Account Information, Get Blob Service Properties and Get Blob Properties. A SAS
 * or a narrow role may not ask for some of it: that is no fault. Rules of a management policy are
 * not seen from here at all.
 */
import {
  AnonymousCredential,
  BlobServiceClient,
  newPipeline,
  RestError,
} from '@azure/storage-blob';

import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { AzureSite } from './azure-container.ts';
import { SasToken, type SiteCredential } from './credentials.ts';

/** An answer, or why there is none. */
export type Seen<T> = { readonly seen: T } | { readonly notSeen: string };

export interface SiteFacts {
  readonly container: Seen<{
    /** Anonymous read of blobs, of the listing too, or of nothing. */
    readonly publicAccess: 'blob' | 'container' | null;
    readonly immutabilityPolicy: boolean;
    readonly legalHold: boolean;
    /** Immutability of single versions is possible. */
    readonly versionLevelImmutability: boolean;
  }>;
  readonly account: Seen<{
    readonly kind: string;
    readonly sku: string;
    readonly hierarchical: boolean;
  }>;
  readonly service: Seen<{ readonly softDeleteDays: number | null }>;
  /** Of a blob that was written just now, without any wish. */
  readonly blob: Seen<{
    /** There with versioning only. */
    readonly versionId: string | null;
    readonly tier: string | null;
    /** Milliseconds since 1970. */
    readonly immutableUntil: number | null;
    readonly legalHold: boolean;
  }>;
}

/** @param path  of a blob that is there */
export async function inspectAzureSite(
  site: AzureSite,
  credential: SiteCredential,
  path: RepoPath,
  signal: AbortSignal,
): Promise<SiteFacts> {
  const bySas = credential instanceof SasToken;
  const url = site.accountUrl.replace(/\/+$/, '');
  const pipeline = newPipeline(bySas ? new AnonymousCredential() : credential, {
    retryOptions: { maxTries: 1 },
  });
  const service = new BlobServiceClient(bySas ? credential.appendTo(url) : url, pipeline);
  const container = service.getContainerClient(site.container);
  const blob = container.getBlobClient(site.prefix === '' ? path : `${site.prefix}/${path}`);
  const options = { abortSignal: signal };
  return {
    container: await ask(async () => {
      const found = await container.getProperties(options);
      return {
        publicAccess: found.blobPublicAccess ?? null,
        immutabilityPolicy: found.hasImmutabilityPolicy === true,
        legalHold: found.hasLegalHold === true,
        versionLevelImmutability: found.isImmutableStorageWithVersioningEnabled === true,
      };
    }),
    account: await ask(async () => {
      const found = await container.getAccountInfo(options);
      return {
        kind: found.accountKind ?? '',
        sku: found.skuName ?? '',
        hierarchical: found.isHierarchicalNamespaceEnabled === true,
      };
    }),
    service: await ask(async () => {
      const { deleteRetentionPolicy: policy } = await service.getProperties(options);
      return { softDeleteDays: policy?.enabled === true ? (policy.days ?? 0) : null };
    }),
    blob: await ask(async () => {
      const found = await blob.getProperties(options);
      return {
        versionId: found.versionId ?? null,
        tier: found.accessTier ?? null,
        immutableUntil: found.immutabilityPolicyExpiresOn?.getTime() ?? null,
        legalHold: found.legalHold === true,
      };
    }),
  };
}

/** Never the error itself: it holds the request, and that a SAS. */
async function ask<T>(question: () => Promise<T>): Promise<Seen<T>> {
  try {
    return { seen: await question() };
  } catch (error) {
    if (error instanceof RestError && error.statusCode !== undefined) {
      const code = error.response?.headers.get('x-ms-error-code') ?? error.code;
      return {
        notSeen: code === undefined ? `${error.statusCode}` : `${error.statusCode} ${code}`,
      };
    }
    return { notSeen: error instanceof DebgeoError ? error.code : 'no answer' };
  }
}

export interface SiteJudgement {
  /** With this, debgeo cannot do its work. */
  readonly wrong: readonly ErrorReport[];
  /** What costs money or time, or could not be seen; with what to do. */
  readonly notes: readonly string[];
  /** One line of what is there. */
  readonly summary: string;
}

export function judgeSite(
  site: Pick<AzureSite, 'accountUrl' | 'container' | 'prefix'>,
  facts: SiteFacts,
): SiteJudgement {
  const wrong: ErrorReport[] = [];
  const notes: string[] = [];
  const summary: string[] = [];
  const account = accountNameOf(site.accountUrl);
  const refuses = (message: string, expected: string, found: string): void =>
    void wrong.push({ code: 'SITE_REFUSED', message, expected, found });
  const look = <T>(what: string, fact: Seen<T>, judge: (seen: T) => void): void => {
    if ('seen' in fact) judge(fact.seen);
    else
      notes.push(
        `${what}: not seen (${fact.notSeen}); the credential may not ask, which is no fault`,
      );
  };

  look('account', facts.account, ({ kind, sku, hierarchical }) => {
    summary.push(`${kind} ${sku}`.trim());
    if (kind === 'FileStorage')
      refuses('an account of this kind has no blobs', 'StorageV2 or BlockBlobStorage', kind);
    if (hierarchical)
      notes.push(
        'hierarchical namespace is on: debgeo is not tried with it; an account without it is the safe choice',
      );
  });
  look(
    'container',
    facts.container,
    ({ publicAccess, immutabilityPolicy, legalHold, versionLevelImmutability }) => {
      summary.push(
        publicAccess === null ? 'no anonymous read by itself' : `anonymous read: ${publicAccess}`,
      );
      if (publicAccess === 'container')
        notes.push(
          `anybody may list it; \`az storage container set-permission --account-name ${account} --name ${site.container} --public-access blob\` is enough for apt`,
        );
      if (immutabilityPolicy)
        refuses(
          'the container has an immutability policy: published names cannot be replaced',
          `no policy: az storage container immutability-policy delete --account-name ${account} --container-name ${site.container} --if-match "*"; or another container`,
          'x-ms-has-immutability-policy: true',
        );
      if (legalHold)
        refuses(
          'the container has a legal hold: published names cannot be replaced',
          `no hold: az storage container legal-hold clear --account-name ${account} --container-name ${site.container} --tags TAG; or another container`,
          'x-ms-has-legal-hold: true',
        );
      if (versionLevelImmutability)
        notes.push(
          'immutability of versions is possible here: a default policy would keep every replaced InRelease, and forbid to delete',
        );
    },
  );
  look('soft delete', facts.service, ({ softDeleteDays }) => {
    summary.push(softDeleteDays === null ? 'no soft delete' : `soft delete ${softDeleteDays} d`);
    if (softDeleteDays !== null)
      notes.push(
        `soft delete keeps what is deleted or replaced for ${softDeleteDays} days, and bills it: \`az storage blob service-properties delete-policy update --account-name ${account} --enable false\`, unless you want that`,
      );
  });
  look('blob', facts.blob, ({ versionId, tier, immutableUntil, legalHold }) => {
    summary.push(
      `${versionId === null ? 'no versioning' : 'versioning'}${tier === null ? '' : `, tier ${tier}`}`,
    );
    if (versionId !== null)
      notes.push(
        `versioning keeps every replaced and deleted blob, and bills it: \`az storage account blob-service-properties update --account-name ${account} --enable-versioning false\`, or a lifecycle rule that deletes old versions`,
      );
    if (tier === 'Archive')
      refuses(
        'what is written goes to the archive tier and cannot be read',
        'access tier Hot',
        tier,
      );
    else if (tier === 'Cool' || tier === 'Cold')
      notes.push(
        `tier ${tier} bills every read, and what is deleted early: \`az storage account update --name ${account} --access-tier Hot\` where clients read much`,
      );
    if (immutableUntil !== null)
      refuses(
        'what is written cannot be replaced or deleted for a while',
        'no default immutability policy on container and account',
        new Date(immutableUntil).toISOString(),
      );
    if (legalHold)
      refuses('what is written is under a legal hold', 'no hold', 'x-ms-legal-hold: true');
  });
  notes.push(
    `lifecycle and tiering rules are not seen from here: \`az storage account management-policy show --account-name ${account} --resource-group GROUP\`; none may delete or archive below ${[site.container, ...(site.prefix === '' ? [] : [site.prefix])].join('/')}/`,
  );
  return { wrong, notes, summary: summary.join('; ') };
}

/** `https://NAME.blob.…` in Azure, the first folder at an emulator. */
function accountNameOf(accountUrl: string): string {
  const { hostname, pathname } = new URL(accountUrl);
  return hostname.split('.')[1] === 'blob'
    ? hostname.split('.')[0]!
    : pathname.split('/')[1] || hostname;
}
