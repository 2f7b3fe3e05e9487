/** What all works share: one stack of real servers, and the archive that every contender reads. */
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

import { connectDatabase, type Database } from '../src/database/orm.ts';
import { migrate } from '../src/database/server/migrate.ts';
import { run } from '../src/database/sql.ts';
import { startStack, type BlobServer, type Stack } from '../src/stack/stack.ts';
import { startArchive, type BenchArchive } from './archive.ts';

/** Each is an Azurite of its own. debgeo uses the first ones, as many as a work has sites. */
const SITES = ['fra', 'sin', 'iad', 'gru'];
const SITE_OF: Readonly<Record<string, string>> = {
  floor: 'sin',
  rclone: 'iad',
  'debmirror + rclone': 'gru',
  /**
   * aptly 1.5 builds `https://ACCOUNT.ENDPOINT`: with account 127 and endpoint 0.0.1 that is an
   * address of this machine.
   */
  aptly: '127',
};
const TEMPLATE = 'bench_template';
const NAMESPACE_MS = 30_000;

export interface Testbed {
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
   * A new container on the Azurite of this contender alone: every write takes longer, the more
   * blobs an Azurite has in all its containers.
   */
  freshPlaceOf(contender: string): Promise<Place>;
  close(): Promise<void>;
}

/** An empty container, for one contender in one round. */
export interface Place {
  readonly site: string;
  readonly server: BlobServer;
  readonly container: ContainerClient;
}

export async function openTestbed(say: (line: string) => void): Promise<Testbed> {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-bench-'));
  const stack = await startStack({ folder, blobs: [...SITES, SITE_OF['aptly']!], say });
  const archive = await startArchive();
  const server = await connectDatabase(databaseUrl(stack, 'postgres'));
  await makeTemplate(stack, server);
  return {
    stack,
    folder,
    archive,
    say,
    async freshDatabase() {
      const name = `bench_${randomBytes(6).toString('hex')}`;
      await run(server.read, sql`create database ${sql.id(name)} template ${sql.id(TEMPLATE)}`);
      return databaseUrl(stack, name);
    },
    freshNamespace: () => registerNamespace(stack.temporalAddress),
    freshPlaces: (count) =>
      Promise.all(stack.blobs.slice(0, Math.min(count, SITES.length)).map(createPlace)),
    freshPlaceOf: (contender) =>
      createPlace(stack.blobs.find(({ name }) => name === SITE_OF[contender])!),
    async close() {
      await server.close();
      await archive.close();
      await stack.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function makeTemplate(stack: Stack, server: Database): Promise<void> {
  await run(server.read, sql`create database ${sql.id(TEMPLATE)}`);
  const database = await connectDatabase(databaseUrl(stack, TEMPLATE));
  try {
    await migrate(database);
  } finally {
    await database.close();
  }
}

async function registerNamespace(address: string): Promise<string> {
  const namespace = `bench-${randomBytes(6).toString('hex')}`;
  const connection = await Connection.connect({ address });
  const { workflowService } = connection;
  try {
    await workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: msToTs('1 day'),
    });
    // The frontend keeps namespaces in a cache: the new one is not known at once.
    for (const deadline = Date.now() + NAMESPACE_MS; ; await sleep(20)) {
      try {
        await workflowService.listOpenWorkflowExecutions({ namespace, maximumPageSize: 1 });
        return namespace;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  } finally {
    await connection.close();
  }
}

async function createPlace(server: BlobServer): Promise<Place> {
  const credential = new StorageSharedKeyCredential(server.account, server.key);
  const container = new BlobServiceClient(server.url, credential).getContainerClient(
    `b-${randomBytes(6).toString('hex')}`,
  );
  await container.create({ access: 'blob' });
  return { site: server.name, server, container };
}

function databaseUrl(stack: Stack, name: string): string {
  const url = new URL(stack.databaseUrl);
  url.pathname = `/${name}`;
  return url.href;
}
