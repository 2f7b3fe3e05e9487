/**
 * What an Azure container and its account say about themselves where only the data plane is asked;
 * judge-site.ts says what that means for copies of an archive. Sources: the REST reference of Get
 * Container Properties, Get Account Information, Get Blob Service Properties and Get Blob
 * Properties. A SAS or a narrow role may not ask for some of it: that is no fault. Rules of a
 * management policy are not seen from here at all.
 */
import {
  AnonymousCredential,
  BlobServiceClient,
  newPipeline,
  RestError,
} from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { guardedAgents } from '../network/guarded-agents.ts';
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
  const agent = guardedAgents('site')(new URL(url).protocol);
  // The type leaves `agent` out; the SDK hands its options on to the pipeline, which takes it.
  const pipelineOptions = { retryOptions: { maxTries: 1 }, agent };
  const pipeline = newPipeline(bySas ? new AnonymousCredential() : credential, pipelineOptions);
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
