/**
 * What all works share: one stack of real servers, and the archive in front of everybody who is
 * measured.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  BlobServiceClient,
  StorageSharedKeyCredential,
  type ContainerClient,
} from '@azure/storage-blob';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { sql } from 'kysely';

import { connectDatabase } from '../src/database/orm.ts';
import { migrate } from '../src/database/server/migrate.ts';
import { startStack, type BlobServer, type Stack } from '../src/stack/stack.ts';
import { startArchive, type BenchArchive } from './archive.ts';

/** One Azurite each; a work uses as many as it needs, the first ones. */
const SITES = ['fra', 'sin', 'iad', 'gru'];
/** debgeo has the first ones. */
const OWN_SITE: Readonly<Record<string, string>> = {
  floor: 'sin',
  rclone: 'iad',
  'debmirror + rclone': 'gru',
};
/**
 * aptly 1.5 makes `https://ACCOUNT.ENDPOINT` of what it is told: with this account and the endpoint
 * 0.0.1 that is an address of this machine.
 */
const SITE_OF_APTLY = '127';
const TEMPLATE = 'bench_template';
const KNOWN_MS = 30_000;

export interface Stage {
  readonly stack: Stack;
  readonly folder: string;
  readonly archive: BenchArchive;
  readonly say: (line: string) => void;
  /** The URL of a new database with all tables. */
  freshDatabase(): Promise<string>;
  /** The name of a new Temporal namespace. */
  freshNamespace(): Promise<string>;
  /** A new container on each of the first so many Azurites. */
  freshPlaces(count: number): Promise<Place[]>;
  /**
   * A new container on the Azurite of this contender alone: its metadata grow with whatever is in
   * any container, and every write with them.
   */
  freshPlaceOf(contender: string): Promise<Place>;
  close(): Promise<void>;
}

/** An empty container of its own, for one contender in one round. */
export interface Place {
  readonly site: string;
  readonly server: BlobServer;
  readonly container: ContainerClient;
}

export async function openStage(say: (line: string) => void): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-bench-'));
  const stack = await startStack({ folder, blobs: [...SITES, SITE_OF_APTLY], say });
  const archive = await startArchive();
  const server = await connectDatabase(databaseUrl(stack, 'postgres'));
  await makeTemplate();

  return {
    stack,
    folder,
    archive,
    say,
    freshDatabase,
    freshNamespace,
    freshPlaces,
    freshPlaceOf,
    close,
  };

  async function makeTemplate(): Promise<void> {
    await sql`create database ${sql.id(TEMPLATE)}`.execute(server.read.kysely);
    const database = await connectDatabase(databaseUrl(stack, TEMPLATE));
    try {
      await migrate(database);
    } finally {
      await database.close();
    }
  }

  async function freshDatabase(): Promise<string> {
    const name = `bench_${randomBytes(6).toString('hex')}`;
    await sql`create database ${sql.id(name)} template ${sql.id(TEMPLATE)}`.execute(
      server.read.kysely,
    );
    return databaseUrl(stack, name);
  }

  async function freshNamespace(): Promise<string> {
    const namespace = `bench-${randomBytes(6).toString('hex')}`;
    const connection = await Connection.connect({ address: stack.temporalAddress });
    try {
      await connection.workflowService.registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: msToTs('1 day'),
      });
      for (const deadline = Date.now() + KNOWN_MS; ; await sleep(20)) {
        try {
          await connection.workflowService.listOpenWorkflowExecutions({
            namespace,
            maximumPageSize: 1,
          });
          return namespace;
        } catch (error) {
          if (Date.now() > deadline) throw error; // the frontend keeps namespaces in a cache
        }
      }
    } finally {
      await connection.close();
    }
  }

  async function freshPlaces(count: number): Promise<Place[]> {
    return Promise.all(stack.blobs.slice(0, Math.min(count, SITES.length)).map(freshPlace));
  }

  function freshPlaceOf(contender: string): Promise<Place> {
    const site = contender === 'aptly' ? SITE_OF_APTLY : OWN_SITE[contender];
    return freshPlace(stack.blobs.find(({ name }) => name === site)!);
  }

  async function freshPlace(blobs: BlobServer): Promise<Place> {
    const credential = new StorageSharedKeyCredential(blobs.account, blobs.key);
    const container = new BlobServiceClient(blobs.url, credential).getContainerClient(
      `b-${randomBytes(6).toString('hex')}`,
    );
    await container.create({ access: 'blob' });
    return { site: blobs.name, server: blobs, container };
  }

  async function close(): Promise<void> {
    await server.close();
    await archive.close();
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function databaseUrl(stack: Stack, name: string): string {
  const url = new URL(stack.databaseUrl);
  url.pathname = `/${name}`;
  return url.href;
}
